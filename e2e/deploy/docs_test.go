// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/webhook"
	"sigs.k8s.io/steward/internal/wire/cli"
)

// page is docs/deploy.md.
func page(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root(t), "docs", "deploy.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// blocks returns the code of a language, without the indentation of the list that it may stand in.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	var all []string
	for _, m := range regexp.MustCompile("(?ms)^( *)```"+language+"\n(.*?)^ *```$").FindAllStringSubmatch(page(t), -1) {
		all = append(all, strings.TrimPrefix(strings.ReplaceAll("\n"+m[2], "\n"+m[1], "\n"), "\n"))
	}
	return all
}

// The overlay of the page is one, and its patch lets steward-hook write.
func TestDocumentedOverlay(t *testing.T) {
	yamls := blocks(t, "yaml")
	if len(yamls) != 2 {
		t.Fatalf("docs/deploy.md has %d blocks of YAML", len(yamls))
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "steward/config/kubernetes"), os.DirFS(filepath.Join(root(t), "config/kubernetes"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "steward.yaml"), "repos: {our/repo: {plugins: [owners]}}\n")
	write(t, filepath.Join(dir, "kustomization.yaml"), yamls[0]+yamls[1])
	rendered, err := kustomize(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode(rendered)
	if err != nil {
		t.Fatal(err)
	}
	c := m.container(t)
	if c.Image != "registry.example.com/our/steward-hook:v0.1.0" || !strings.Contains(m.settings.Data["steward.yaml"], "our/repo") || m.set.Namespace != "prow" {
		t.Errorf("image %s, settings %v, namespace %s", c.Image, m.settings.Data, m.set.Namespace)
	}
	if dry := value(t, parse(t, c), "dry-run"); dry != "false" {
		t.Errorf("dry run is %s", dry)
	}
	yamls[0] = strings.Replace(yamls[0], "components: []", "components: [steward/config/kubernetes/components/"+strings.Join(components(), ", steward/config/kubernetes/components/")+"]", 1)
	write(t, filepath.Join(dir, "kustomization.yaml"), yamls[0]+yamls[1])
	if _, err := kustomize(dir); err != nil {
		t.Errorf("with components: %v", err)
	}
}

// The commands of the page name what exists: our objects, our commands and our flags.
func TestDocumentedCommands(t *testing.T) {
	m := render(t, components()...)
	claim := m.set.Spec.VolumeClaimTemplates[0].Name + "-" + m.set.Name + "-0"
	var lines []string
	for _, block := range blocks(t, "sh") {
		for line := range strings.Lines(block) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	counts := map[string]int{}
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		counts[words[0]]++
		switch words[0] {
		case "kubectl":
			for _, word := range words {
				switch {
				case strings.HasPrefix(word, "statefulset/") && word != "statefulset/"+m.set.Name,
					strings.HasPrefix(word, "pod/") && word != "pod/"+m.set.Name+"-0",
					strings.HasPrefix(word, "data-") && word != claim:
					t.Errorf("%s: there is no %s", line, word)
				}
			}
			if i := slices.Index(words, "generic"); i > 0 && !secrets(t)[words[i+1]] {
				t.Errorf("%s: nothing mounts %s", line, words[i+1])
			}
		case "steward":
			cmd, rest, err := cli.Command().Find(words[1:])
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	if counts["kubectl"] < 10 || counts["steward"] < 3 {
		t.Errorf("found %v in\n%s", counts, strings.Join(lines, "\n"))
	}
}

// secrets are those that some set of components mounts.
func secrets(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, m := range []*manifests{render(t), render(t, components()...)} {
		for _, v := range m.set.Spec.Template.Spec.Volumes {
			if v.Secret != nil {
				all[v.Secret.SecretName] = true
			}
		}
	}
	return all
}

// A file that the page or a manifest links to is there.
func TestDocumentedFiles(t *testing.T) {
	found := 0
	for _, m := range regexp.MustCompile(`\]\(([a-z./][^)#]*)`).FindAllStringSubmatch(page(t), -1) {
		found++
		if _, err := os.Stat(filepath.Join(root(t), "docs", m[1])); err != nil {
			t.Errorf("docs/deploy.md: %v", err)
		}
	}
	if found == 0 {
		t.Error("docs/deploy.md links to nothing")
	}
	for _, c := range components() {
		if !strings.Contains(page(t), "| `"+c+"` |") {
			t.Errorf("docs/deploy.md does not explain component %s", c)
		}
	}
}

// The file with two values of the webhook secret is one that steward-hook reads.
func TestDocumentedRotation(t *testing.T) {
	for _, block := range blocks(t, "sh") {
		if _, rest, ok := strings.Cut(block, "cat > hmac <<'YAML'\n"); ok {
			file, _, _ := strings.Cut(rest, "YAML\n")
			secrets, err := webhook.ParseSecrets([]byte(file))
			if err != nil {
				t.Fatal(err)
			}
			if all := secrets.For("any/repository"); len(all) != 2 {
				t.Errorf("%d secrets are valid at once", len(all))
			}
			return
		}
	}
	t.Error("docs/deploy.md writes no file called hmac")
}
