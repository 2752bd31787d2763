# The front door: Meson and ninja do the work. `make help` lists what there is.
BUILD ?= build
NAME ?= compile run
FUZZ_SECONDS ?= 60
KERNELS ?= oldest,6.1,6.12,latest
PREDICTION_KERNELS ?= 5.10,6.1,6.1-cloud,6.12,7.1,latest

all: $(BUILD)/build.ninja ## build everything into $(BUILD)
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@meson setup $(BUILD)

deps: ## install what building and testing needs
	@scripts/deps

demo: deps all ## watch programs being started on this machine for some seconds (needs root)
	@scripts/demo $(BUILD)

check: deps all ## build and run all tests, also with sanitizers
	@tests/check

check-lab: $(BUILD)/build.ninja ## run every tool on real kernels in QEMU: make check-lab KERNELS=5.10,6.1,latest
	@scripts/deps --lab
	@meson setup --reconfigure $(BUILD) >/dev/null
	@ninja -C $(BUILD) all static
	@KERNELS=$(KERNELS) tests/check --lab

check-predictions: all ## hold what `anybpf check` says against booted kernels: make check-predictions PREDICTION_KERNELS=5.10,6.1,latest
	@scripts/deps --lab
	@BUILD=$(BUILD) KERNELS=$(PREDICTION_KERNELS) tests/predictions/check

static: $(BUILD)/build.ninja ## build/anybpf-static: one file for old and minimal machines; also for arm64, with the tools for it
	@ninja -C $(BUILD) static

bench: deps all ## measure against the peers: make bench NAME=compile
	@for name in $(NAME); do bench/$$name || exit 1; done

fuzz: deps ## fuzz every reader of outside bytes for FUZZ_SECONDS each
	@fuzz/run $(FUZZ_SECONDS)

lint: ## check formatting rules, licences and the public interface
	@scripts/lint

deb: deps ## make Debian packages of it, in build-deb
	@scripts/deb

check-deb: deb ## install the packages in a fresh Debian, boot it, run anybpfd there, purge them (root)
	@scripts/deps --deb
	@tests/deb/check

install: all ## install under the prefix that Meson was set up with; DESTDIR is honoured
	@meson install -C $(BUILD) --no-rebuild

clean: ## remove what was built
	rm -rf $(BUILD) build-asan

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

.PHONY: all deps demo check check-lab check-predictions static bench fuzz lint deb check-deb install clean help
