// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"sigs.k8s.io/steward/internal/sweep"
)

// refused is an error that a service answered with. Errors of the SDK are the same interface.
type refused struct {
	code, message string
	status        int
}

func (e *refused) Error() string        { return e.code + ": " + e.message }
func (e *refused) ErrorCode() string    { return e.code }
func (e *refused) ErrorMessage() string { return e.message }

// ErrorFault says whose fault it is; nobody asks, but the interface has it.
func (e *refused) ErrorFault() smithy.ErrorFault { return smithy.FaultUnknown }

// HTTPStatusCode lets the retryer tell what may pass.
func (e *refused) HTTPStatusCode() int { return e.status }

const maxMessage = 300 // runes; an encoded authorization failure alone is thousands

// apiError reads the error of any of the protocols. What is none of them is named by its status.
func apiError(resp *http.Response, raw []byte) error {
	e := &refused{status: resp.StatusCode}
	if t, err := parseXML(raw); err == nil {
		at := ""
		for _, path := range []string{"Error.", "Errors.Error."} {
			if t.text(path+"Code") != "" {
				at = path
			}
		}
		e.code, e.message = t.text(at+"Code"), t.text(at+"Message")
	} else if t, err := parseJSON(raw); err == nil {
		e.code = t.text("__type")
		if e.code == "" {
			e.code = t.text("code")
		}
		e.message = t.text("message") + t.text("Message")
	}
	if kind := resp.Header.Get("X-Amzn-Errortype"); kind != "" {
		e.code = kind
	}
	// "com.amazonaws.x#Code" and "Code:http://..." are both in use.
	e.code, _, _ = strings.Cut(e.code[strings.LastIndex(e.code, "#")+1:], ":")
	if e.code == "" {
		e.code = fmt.Sprintf("HTTP %d", resp.StatusCode)
	}
	e.cut()
	return e
}

func (e *refused) cut() {
	if short := []rune(e.message); len(short) > maxMessage {
		e.message = string(short[:maxMessage]) + "…"
	}
}

// codeOf is the code of a service's error, "" for any other.
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func messageOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorMessage()
	}
	return ""
}

// bareAPI shortens an error of the SDK to what a service answered: the SDK says the request's id, the address and each layer
// that it went through. Errors that are no answer stay as they are.
func bareAPI(err error) error {
	var operation *smithy.OperationError
	if code := codeOf(err); code != "" && errors.As(err, &operation) {
		short := &refused{code: code, message: messageOf(err)}
		short.cut()
		return fmt.Errorf("%s %s: %w", strings.ToLower(operation.ServiceID), operation.OperationName, short)
	}
	return err
}

// verdict is what an error means to a sweep.
type verdict struct {
	codes    []string
	suffixes []string
	message  *regexp.Regexp
}

func (v verdict) is(err error) bool {
	code := codeOf(err)
	if code == "" {
		return false
	}
	return slices.Contains(v.codes, code) ||
		slices.ContainsFunc(v.suffixes, func(s string) bool { return strings.HasSuffix(code, s) }) ||
		v.message != nil && v.message.MatchString(messageOf(err))
}

// gone: there is no such thing any more.
func gone(err error) bool {
	return verdict{
		codes: []string{
			"NoSuchEntity", "NoSuchBucket", "NoSuchHostedZone",
			"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "InvalidAMIID.Unavailable", "InvalidPlacementGroup.Unknown",
		},
		suffixes: []string{"NotFound", "NotFoundFault", "NotFoundException"},
	}.is(err) || codeOf(err) == "ValidationError" && vanished(messageOf(err))
}

// vanished knows the two APIs that say so only in words.
func vanished(message string) bool {
	return strings.Contains(message, "does not exist") || strings.Contains(message, "not found")
}

// inUse: something still holds it, or it is changing; a later try may succeed.
func inUse(err error) bool {
	return verdict{
		codes: []string{
			"DependencyViolation", "DeleteConflict", "BucketNotEmpty", "HostedZoneNotEmpty", "PriorRequestNotComplete", "ResourceInUse",
			"ResourceInUseException", "ResourceInUseFault", "ResourceContention", "ScalingActivityInProgress", "FileSystemInUse",
			"IncorrectState", "IncorrectInstanceState", "InvalidNetworkInterface.InUse", "VolumeInUse", "OperationAborted",
			"ConcurrentModification", "ConcurrentModificationException", "ConcurrentAccess", "OperationInProgressException",
			"UpdateInProgressException", "RepositoryNotEmptyException", "KMSInvalidStateException", "ConflictException",
			"TransitGatewayInUse", "ClusterContainsServicesException", "ClusterContainsTasksException", "UnresolvedDependency",
			"ClusterContainsContainerInstancesException", "Client.CannotDelete",
		},
		suffixes: []string{".InUse", "InUseException", "InUseFault", "InUse"},
		message:  regexp.MustCompile(`(?i)currently in use|has dependencies|is in use by`),
	}.is(err) || strings.HasPrefix(codeOf(err), "InvalidDB") && strings.Contains(codeOf(err), "State") ||
		strings.HasPrefix(codeOf(err), "Invalid") && strings.Contains(codeOf(err), "StateFault")
}

// disabled: the account never signed up for the service here, so nothing of it can exist.
func disabled(err error) bool {
	return verdict{codes: []string{"OptInRequired", "SubscriptionRequiredException"}}.is(err)
}

// shut: a policy of the organization forbids the region, whatever the account's own rights are.
func shut(err error) bool {
	return verdict{codes: []string{"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}}.is(err) &&
		strings.Contains(messageOf(err), "service control policy")
}

// outcome turns the answer to a deletion into what package sweep calls it.
func outcome(err error) error {
	switch {
	case err == nil, gone(err):
		return nil
	case inUse(err):
		return fmt.Errorf("%w: %w", sweep.ErrInUse, err)
	}
	return err
}
