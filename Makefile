# The front door. Meson and Ninja do the building (meson.build); these targets put the usual ways of
# use in front of it. `make run` and `make test` install what is missing, the others only say so.
BUILD   ?= build
PREFIX  ?= /usr/local
NINJA   = ninja -C $(BUILD)
SAN     = -Dbuildtype=debugoptimized -Db_ndebug=false -Db_sanitize=address,undefined -Db_lundef=false
TSAN    = -Dbuildtype=debugoptimized -Db_ndebug=false -Db_sanitize=thread -Db_lundef=false
THREADS = serve|serve_models

.PHONY: all run test test-san test-tsan test-cuda cuda test-long bench fuzz format lint install clean deps

all: $(BUILD)/build.ninja
	@$(NINJA)

$(BUILD)/build.ninja:
	@scripts/deps check build
	@meson setup $(BUILD) --prefix=$(PREFIX) > $(BUILD).log 2>&1 || { cat $(BUILD).log; rm -rf $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

# Build, get the default model, open the chat. CRIA_MODEL=path uses another model.
run:
	@scripts/deps install build model
	@$(MAKE) --no-print-directory all >&2
	@model="$${CRIA_MODEL:-$$(scripts/get-model)}" && exec $(BUILD)/cria chat -m "$$model"

# Every test that runs in minutes; closes with "N passed, N failed".
test:
	@scripts/deps install build test model
	@[ ! -f $(BUILD)/build.ninja ] || meson configure $(BUILD) -Dtests=enabled
	@$(MAKE) --no-print-directory all >&2
	@scripts/check-layers
	@scripts/get-model > /dev/null || echo "tests that need the default model will skip"
	@scripts/run-tests $(BUILD)

# The same tests under AddressSanitizer and UBSan.
test-san:
	@scripts/deps install build test model
	@[ -f $(BUILD)-san/build.ninja ] || meson setup $(BUILD)-san $(SAN) > /dev/null
	@ninja -C $(BUILD)-san
	@scripts/run-tests $(BUILD)-san

# The tests of what has threads - the team, the engine, the server (the scripts THREADS) - under
# ThreadSanitizer, which wants addresses that are not drawn at random.
test-tsan:
	@scripts/deps install build test model
	@[ -f $(BUILD)-tsan/build.ninja ] || meson setup $(BUILD)-tsan $(TSAN) > /dev/null
	@ninja -C $(BUILD)-tsan
	@if setarch -R true 2> /dev/null; then TEST_TIMEOUT=1800 setarch -R scripts/run-tests --only \
		'/base/test_team$$|/text/test_share$$|/infer/test_engine|/serve/test_|/e2e/($(THREADS))\.sh$$' $(BUILD)-tsan; \
	else echo "skipped: setarch -R is not allowed here"; fi

# The GPU kernels for Ampere, Ada and Hopper, and what each takes of a GPU.
cuda:
	@scripts/cuda-report

# The GPU kernels against double precision, run on the processor, and a model on a GPU where there is one.
test-cuda:
	@scripts/deps install build test model
	@$(MAKE) --no-print-directory all >&2
	@scripts/get-model > /dev/null || echo "tests that need the default model will skip"
	@scripts/run-tests --only '/cuda_emu/test_|/tensor/test_cuda|/e2e/device\.sh$$' $(BUILD)

# Oracle runs, NEON under emulation, and everything else that takes long.
test-long: test test-san
	@$(MAKE) --no-print-directory test-tsan THREADS='serve|serve_models|serve_running|serve_lora'
	@scripts/deps install clients long
	@CRIA_ORACLE_PYTHON="$$(scripts/oracle-env)" TEST_TIMEOUT=3600 scripts/run-tests --long $(BUILD)

bench: all
	@for b in infer kernels quantize serve speculation tokenizer; do echo "== bench/$$b"; bench/$$b --build $(BUILD) || exit 1; done

fuzz:
	@scripts/deps install build fuzz
	@scripts/fuzz $(or $(SECONDS_EACH),60)

format:
	@git ls-files 'src/*.[ch]' 'tests/*.[ch]' 'include/*.h' 'examples/*.c' | grep -v _tables.c | xargs clang-format -i

lint:
	@scripts/deps check lint
	@git ls-files 'src/*.[ch]' 'tests/*.[ch]' 'include/*.h' 'examples/*.c' | grep -v _tables.c | xargs clang-format --dry-run -Werror
	@scripts/check-layers
	@scripts/check-headers
	@scripts/check-globals $(BUILD)
	@scripts/check-docs $(BUILD)
	@cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr -Isrc -Iinclude src

install: all
	@DESTDIR="$(DESTDIR)" meson install -C $(BUILD) --no-rebuild --quiet

deps:
	@scripts/deps install build test model clients long fuzz lint

clean:
	@rm -rf $(BUILD) $(BUILD)-san $(BUILD)-tsan $(BUILD)-fuzz
