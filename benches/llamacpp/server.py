"""Starts a llama.cpp server in this process (package xllamacpp) on one GGUF file, set up to repeat itself.

    python server.py WEIGHTS.gguf [PORT] [CONTEXT] [THREADS]

One slot, no prompt cache, flash attention on rather than automatic, f16 cache: notes in README.md.
"""

import sys
import threading

import xllamacpp


def main() -> None:
    arguments = sys.argv[1:]
    weights = arguments[0]
    port, context, threads = (int(a) for a in (arguments[1:] + ["8080", "4096", "1"][len(arguments) - 1 :]))
    parameters = xllamacpp.CommonParams()
    parameters.model.path = weights
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_ctx = context
    parameters.n_parallel = 1
    parameters.cache_prompt = False
    parameters.cache_ram_mib = 0
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
