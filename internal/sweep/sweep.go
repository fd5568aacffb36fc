// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sweep empties an account that tests have used, and proves that it is empty.
//
// A Kind is a row: how objects of one kind are listed and deleted, and which kinds have to be gone before. The rows of
// Google Cloud are in package gcp, those of AWS in package aws; this package decides the order, what is old enough, what is
// protected, and when an account is clean. It deletes nothing that a rule did not choose, tries nothing forever, and says
// "clean" only after a listing of every kind, begun when the last delete had ended, found nothing to delete. The numbered
// rules (SW-1 and on) are in docs/janitor.md.
package sweep

import (
	"context"
	"time"
)

// A Kind is one sort of object that an account can hold. All functions may be called concurrently, obey their context and
// ask as often as the API's pace allows; repeating what may be repeated is their business, not the sweep's.
type Kind struct {
	// Name is unique, with the service in front: "compute.instances", "ec2.vpcs".
	Name string
	// After names the kinds whose objects must be gone before one of this kind can be deleted. A name that is not among the
	// kinds of the account is a fault of the table.
	After []string
	// Within names kinds of which one has to exist before one of this kind can, because the API keeps references whole:
	// there is no proxy without a URL map. Where all of them were listed and there was none, List is not asked.
	Within []string
	// List returns every object of this kind in all locations, whole or an error: ErrDisabled where the service was never
	// switched on, which counts as empty, and anything else as not known.
	List func(ctx context.Context) ([]Object, error)
	// Delete starts or does the deletion and returns when the API says that it is done or failed. An object that is not
	// there any more is success; ErrInUse means that something still holds it, and that a later try may succeed.
	Delete func(ctx context.Context, o Object) error
	// Protect says why an object stays although it is old enough, such as a default network; "" lets it go. nil protects
	// nothing. It is asked before the age, and a protected object does not stand against "clean".
	Protect func(o Object) string
}

// An Object is one thing in an account.
type Object struct {
	// ID names it within the account for all time: a self link, an ARN.
	ID string
	// Name is what people call it; Location the zone or region, "" for what has none.
	Name, Location string
	// Created is zero where the API does not tell. Its age then counts from the moment it was first seen (Marks).
	Created time.Time
	// Tags are labels or tags, for --include-tags and --exclude-tags.
	Tags map[string]string
	// Protected says why it stays however old it is, where that follows from what the list says; "" lets it go.
	Protected string
	// With is another object, "KIND ID", that decides before the rules do: while that one stays, or its kind was not read,
	// this one stays too. One that is not there decides nothing.
	With string
}

// Account is what a cloud says of an account, asked with the credential that is going to delete.
type Account struct {
	// ID and Number are the account's own; AWS has one for both.
	ID, Number string
	// Within are the folders, organisations or organisational units around it, nearest first: "folders/123".
	Within []string
	Labels map[string]string
}

type sentinel string

func (s sentinel) Error() string { return string(s) }

const (
	// ErrDisabled is returned, wrapped, by a List whose service is not in use in this account.
	ErrDisabled = sentinel("service is disabled")
	// ErrInUse is returned, wrapped, by a Delete that something else still prevents.
	ErrInUse = sentinel("still in use")
)
