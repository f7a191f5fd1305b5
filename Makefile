# Needs Rust, a C compiler, Python 3, git and tmux. `make test` needs no secret; see README.md.

CARGO ?= cargo
# Where the official SDKs that judge our requests are installed.
VENV := $(CURDIR)/target/venv

# Random kills of `make crash`.
CRASHES ?= 1000

.PHONY: run test histories check crash faults feishu-soak bench fmt

# Starts the gateway.
run:
	$(CARGO) run --release --locked -- gateway

# Everything that needs no secret.
test:
	@tests/suite/chat/setup
	@python="$$(tests/suite/python/setup $(VENV))" \
	&& PICOBOT_TEST_PYTHON="$$python" $(CARGO) test --locked

# 100,000 random dialogs with crashes, stops, broken calls and compressions: every request must be legal. Takes minutes.
histories:
	PICOBOT_HISTORIES="$${PICOBOT_HISTORIES:-100000}" TMPDIR=/dev/shm \
		$(CARGO) test --release --locked --lib random_histories_stay_legal

# What CI checks, without the builds for other features.
check:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	$(MAKE) test
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny --locked check bans licenses sources; \
	else \
		echo "cargo-deny is not installed: licences and banned crates were not checked"; \
	fi

# Kills the gateway at every labelled step and CRASHES times at random moments, and prints what was lost: nothing.
crash:
	@python="$$(tests/suite/python/setup $(VENV))" \
	&& PICOBOT_TEST_PYTHON="$$python" PICOBOT_CRASHES=$(CRASHES) \
	   $(CARGO) test --locked --test suite -- crash:: --nocapture

# Lets every single write and sync of the database fail once, with an I/O error and with a full disk.
faults:
	PICOBOT_FAULTS=all $(CARGO) test --locked --test suite -- durability::faults --nocapture

# Thousands of Feishu events with repeats, drops, silent connections and kills; prints what it measured.
feishu-soak:
	@python="$$(tests/suite/python/setup $(VENV))" \
	&& PICOBOT_TEST_PYTHON="$$python" PICOBOT_FEISHU_SOAK=full \
	$(CARGO) test --locked --test suite feishu::soak -- --test-threads 1 --nocapture

# Measures the release binary; see docs/bench.md. BENCH="--quick --only turn" picks rows.
bench:
	$(CARGO) build --release --locked
	@tests/suite/python/setup $(VENV) >/dev/null
	PICOBOT_BIN="$(CURDIR)/target/release/picobot" $(CARGO) bench --locked --profile dev --bench gateway -- $(BENCH)
	$(CARGO) bench --locked --bench frames -- $(BENCH)

fmt:
	$(CARGO) fmt
