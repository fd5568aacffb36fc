// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"html"
	"net/http"

	"sigs.k8s.io/prow/pkg/pluginhelp"

	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/thread"
)

// maxHelpRequest bounds the list of repositories hook asks about.
const maxHelpRequest = 4 << 20

// Help answers hook's POST to PATH/help from a plugin's rows. Config describes
// the plugin's settings for one repository in a sentence, "" where it is off.
// The endpoint is not signed: it says nothing that docs/commands.md does not.
func Help(p plugin.Plugin, config func(thread.Repo) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.Error(w, "405 Method not allowed", http.StatusMethodNotAllowed)
			return
		}
		var repos []struct{ Org, Repo string }
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxHelpRequest)).Decode(&repos); err != nil {
			http.Error(w, "400 Bad Request: "+err.Error(), http.StatusBadRequest)
			return
		}
		help := describe(p)
		for _, repo := range repos {
			full := thread.Repo{Org: repo.Org, Name: repo.Repo}
			if text := config(full); text != "" {
				help.Config[full.String()] = html.EscapeString(text)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(help) // a failed write is the asker's loss: hook drops late help too
	})
}

// describe escapes every text, because deck renders these fields as HTML.
func describe(p plugin.Plugin) pluginhelp.PluginHelp {
	help := pluginhelp.PluginHelp{Description: html.EscapeString(p.Summary), Config: map[string]string{}}
	for _, row := range p.Rows {
		var examples []string
		for _, e := range row.Examples {
			examples = append(examples, e.Line)
		}
		help.AddCommand(pluginhelp.Command{
			Usage:       row.Usage(),
			Description: html.EscapeString(row.Help + " Works on " + row.Where.String() + "."),
			WhoCanUse:   html.EscapeString(row.Who.String()),
			Examples:    examples,
		})
	}
	return help
}
