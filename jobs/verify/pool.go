// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"io/fs"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/leaselint"
	"sigs.k8s.io/steward/internal/settings"
)

func poolPart() part {
	return part{
		name: "pool", short: "Find what is wrong with the pool's resources",
		long: `Find faults of the pool's file of resources, types that nobody is known to
clean, and job queues of Prow whose capacities are not the sizes of their types.
The codes are explained in docs/pool-lint.md; steward.yaml names the files (pool).

Only the capacities are read from Prow's file, and only where pool.queues names
queues.`,
		example: `  steward verify pool --base "$PULL_BASE_SHA"
  steward verify pool --prow-config ~/test-infra/config/prow/config.yaml
  steward verify pool --prow-config ~/test-infra/config/prow/config.yaml --capacities`,
		applies: tree.hasPool, special: true,
		check: func(t tree) ([]finding.Finding, error) {
			files, err := t.pool(t.pointedProw)
			if err != nil {
				return nil, err
			}
			return leaselint.Check(files)
		},
		prints: &printer{
			flag: "capacities", usage: "print the job_queue_capacities that Prow should have, and check nothing",
			text: func(t tree) (string, error) {
				files, err := t.pool(true)
				if err != nil {
					return "", err
				}
				return leaselint.Capacities(files)
			},
		},
	}
}

// hasPool tells whether the settings name a pool. Settings that cannot be read are not passed over in silence.
func (t tree) hasPool() (bool, error) {
	content, err := t.read(t.config)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s, err := settings.Parse(content)
	if err != nil {
		return true, nil // the check says what is wrong
	}
	return leaselint.Lends(s), nil
}

func (t tree) pool(needsProw bool) (*leaselint.Files, error) {
	content, err := t.read(t.config)
	if err != nil {
		return nil, err
	}
	return leaselint.Read(t.config, content, t.prowConfig, needsProw, t.read)
}
