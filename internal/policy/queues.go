// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Queue is one of Prow's job queues: how many of its jobs run at once. 0 stops it, below zero is no limit.
type Queue struct {
	Name           string
	Capacity, Line int
}

// ParseQueues reads plank.job_queue_capacities of Prow's config.yaml, in the order of the file.
func ParseQueues(file string, content []byte) ([]Queue, error) {
	var c struct {
		Plank struct {
			Capacities yaml.Node `yaml:"job_queue_capacities"`
		} `yaml:"plank"`
	}
	if _, err := decode(file, content, &c); err != nil {
		return nil, err
	}
	list := &c.Plank.Capacities
	if list.IsZero() || list.Tag == "!!null" {
		return nil, nil
	}
	if list.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: job_queue_capacities is not a mapping", file, list.Line)
	}
	var queues []Queue
	for i := 0; i+1 < len(list.Content); i += 2 {
		q := Queue{Name: list.Content[i].Value, Line: list.Content[i].Line}
		if err := list.Content[i+1].Decode(&q.Capacity); err != nil {
			return nil, fmt.Errorf("%s:%d: the capacity of %s is not a whole number", file, q.Line, q.Name)
		}
		queues = append(queues, q)
	}
	return queues, nil
}
