# Steward. "make help" lists the targets; docs/tour.md walks through the code.

.DEFAULT_GOAL := help
.PHONY: test e2e lint generate bench images demo clean help

test: ## Unit tests, scripts and architecture rules under the race detector: Go, git and loopback are enough
	go test -race -p 2 ./...

e2e: ## What needs outside programs: tidy, lint, real Prow; prints a table of stages
	cd e2e && go run ./stages

lint: ## gofmt, go vet, staticcheck, errorlint, misspell
	cd e2e && go run ./stages lint

generate: ## Write the generated pages of docs/ anew
	go generate ./...

bench: ## All benchmarks, beside the tools of today; writes docs/benchmarks.md
	cd e2e && go run ./bench

images: ## Container images without Docker: make images ARGS="--push REGISTRY/PREFIX --tag TAG"
	cd e2e && go run ./images $(ARGS)

demo: ## A short conversation with a GitHub of its own, on loopback
	go run ./cmd/steward demo

clean: ## Remove built tools and test leftovers
	rm -rf .cache _artifacts

help: ## This list
	@sed -n 's/^\([a-z0-9]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
