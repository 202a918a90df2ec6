# Every recipe that needs libtorch sets it up first; when it is there already, that takes a quarter of a second.

set shell := ["sh", "-eu", "-c"]
set positional-arguments := true
set ignore-comments := true

# Property tests draw the same cases every time, unless another seed is named.
export PROPTEST_RNG_SEED := env("PROPTEST_RNG_SEED", "20251022")

palimpsest := "cargo run --quiet --release --bin palimpsest --"

@_list:
    "{{ just_executable() }}" --justfile "{{ justfile() }}" --list --unsorted

# fetch libtorch and the digits data into the cache (device: auto, cpu or cuda)
@setup DEVICE="auto":
    python3 scripts/setup.py "$1"

# run a suite and report on that run; ARGS go to `palimpsest run`, those of `palimpsest report` to that
[no-exit-message]
@bench SUITE *ARGS: _ready _build
    python3 scripts/bench.py "${CARGO_TARGET_DIR:-target}/release/palimpsest" "$@"

# choose the settings that a suite leaves open and freeze them beside it; ARGS go to `palimpsest tune`
[no-exit-message]
@tune SUITE *ARGS: _ready _build
    {{ palimpsest }} tune "$@"

# judge the claims of suites again: tune, run, record, page; `just claims --because WHY --results-seen [SUITE…] [-- ARGS]`
[no-exit-message]
@claims *ARGS: _ready _build
    python3 scripts/claims.py target/release/palimpsest "$@"

# draw the report of a suite or of runs again
[no-exit-message]
@report +ARGS: _ready _build
    {{ palimpsest }} report "$@"

# recompute order, chain, commitment and manifest of a run
[no-exit-message]
@verify +ARGS: _ready _build
    {{ palimpsest }} verify "$@"

# list, fetch or verify data sets
[no-exit-message]
@data *ARGS: _ready _build
    {{ palimpsest }} data "$@"

# say what this machine can run and what is missing
[no-exit-message]
@doctor: _ready _build
    {{ palimpsest }} doctor

# build, and run METHOD for a few steps; ARGS go to `palimpsest run`
[no-exit-message]
@dev METHOD *ARGS: _ready _build
    method=$(basename "$1" .rs | tr _ -); shift; python3 scripts/dev.py target/release/palimpsest "$method" "$@"

# run all tests; ARGS go to nextest
[no-exit-message]
test *ARGS: _ready
    python3 scripts/test_setup.py
    python3 scripts/test_new.py
    python3 scripts/test_install.py
    python3 scripts/test_dev.py
    python3 scripts/test_bench.py
    python3 scripts/test_claims.py
    python3 scripts/test_measure_takes.py
    python3 scripts/test_gpu_check.py
    python3 scripts/test_estimate_gate.py
    python3 scripts/test_python.py
    @if nextest=$(python3 scripts/setup.py nextest); then \
        set -x; "$nextest" nextest run --workspace --features parquet "$@"; \
    else \
        echo "using cargo test: no budget per test is held" >&2; \
        set -x; cargo test --workspace --features parquet --lib --bins --tests "$@"; \
    fi

# run the tests in the file of method NAME, and those that every method must pass on it
[no-exit-message]
test-method NAME *ARGS: _ready
    @method=$(basename "$1" .rs | tr _ -); shift; module=$(echo "$method" | tr - _); \
    export PALIMPSEST_METHOD="$method"; \
    if nextest=$(python3 scripts/setup.py nextest); then \
        set -x; "$nextest" nextest run -p methods -E "(binary(conformance) - test(/^templates::/)) | test(/^[a-z]+::${module}::/)" "$@"; \
    else \
        set -x; cargo test -p methods --test conformance -- --skip templates::; cargo test -p methods --lib "::${module}::" "$@"; \
    fi

# fuzz the readers of strangers' files, SECONDS for each of the TARGETS (all of `fuzz/fuzz_targets`)
[no-exit-message]
fuzz SECONDS *TARGETS:
    python3 scripts/fuzz.py "$@"

# check formatting and lints
[no-exit-message]
check: _ready
    cargo fmt --all --check
    # Method and workload files come in through build.rs, where `cargo fmt` does not see them.
    @find methods/src harness/workloads/src -mindepth 2 -name '*.rs' -exec rustfmt --edition 2024 --check {} +
    # A workspace of its own.
    @find fuzz/src fuzz/examples fuzz/fuzz_targets -name '*.rs' -exec rustfmt --edition 2024 --check {} +
    cargo clippy --workspace --features parquet --all-targets -- -D warnings
    @if command -v hadolint >/dev/null 2>&1; then hadolint Dockerfile; fi

# format everything
fmt:
    cargo fmt --all
    @find methods/src harness/workloads/src -mindepth 2 -name '*.rs' -exec rustfmt --edition 2024 {} +

# put both programs on PATH, with all readers of files: into DIR/bin with --prefix DIR, else where `cargo install` does
[no-exit-message]
@install *ARGS: _ready
    cargo build --release --bins --features parquet
    python3 scripts/install.py "$@"

# measure the hot paths with criterion; ARGS go to criterion
[no-exit-message]
micro *ARGS: _ready
    cargo bench --workspace --bench '*' -- "$@"

# measure the same paths in PyTorch (makes a throw-away venv in the cache)
[no-exit-message]
micro-peer *ARGS: _ready
    @python=$(python3 scripts/setup.py peer); "$python" benches/peer.py "$@"

# check a machine's GPU with the program that is built (else its CPU), building nothing; ARGS go to scripts/gpu_check.py
[no-exit-message]
@gpu-check *ARGS:
    python3 scripts/gpu_check.py "${CARGO_TARGET_DIR:-target}/release/palimpsest" "$@"

# draw the figures of docs/gallery.md anew, or those called NAMES (--accept-build: from runs of an older build, too): some 7 minutes of CPU in an empty store
[no-exit-message]
@gallery *NAMES: _ready _build
    python3 scripts/gallery.py "${CARGO_TARGET_DIR:-target}/release/palimpsest" "$@"

# build the book of docs/ into target/book, where mdBook is installed; ARGS go to `mdbook build`
@book *ARGS:
    command -v mdbook >/dev/null || { echo "mdbook is missing: cargo install mdbook --locked" >&2; exit 2; }
    mdbook build "$@"

# start a method, workload or suite: `just new optim my-method`, `just new workload tasks my-task`, `just new suite my-question`
[no-exit-message]
@new *ARGS:
    python3 scripts/new.py "$@"

# remove what set-up put into the cache
[confirm("Remove libtorch, the digits data and the tools that set-up fetched? [y/N]")]
@clean-cache:
    python3 scripts/setup.py clean

@_ready:
    python3 scripts/setup.py --quiet

@_build:
    cargo build --release --bins
