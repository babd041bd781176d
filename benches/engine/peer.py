"""llama.cpp behind one line of JSON a request: `peer.py WEIGHTS THREADS`. Needs `pip install xllamacpp`."""

import json
import os
import resource
import sys
import urllib.request

import xllamacpp


def main():
    parameters = xllamacpp.CommonParams()
    parameters.model.path = sys.argv[1]
    parameters.n_ctx = 4096
    parameters.n_parallel = 1
    parameters.n_gpu_layers = 0
    parameters.cache_ram_mib = 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = int(sys.argv[2])
    server = xllamacpp.Server(parameters)
    for line in sys.stdin:
        request = json.loads(line)
        if "tokenize" in request:
            reply = tokenize(server, request["tokenize"])
        else:
            reply = complete(server, request["complete"], request["count"])
        print(json.dumps(reply), flush=True)


def tokenize(server, text):
    body = json.dumps({"content": text, "add_special": False, "parse_special": True}).encode()
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(server.listening_address + "/tokenize", body, headers)) as reply:
        return json.load(reply)


def complete(server, tokens, count):
    begin = os.times()
    reply = server.handle_completions(
        {"prompt": tokens, "n_predict": count, "temperature": 0, "cache_prompt": False, "ignore_eos": True}
    )
    end = os.times()
    return {
        "prompt_seconds": reply["timings"]["prompt_ms"] / 1000,
        "generation_seconds": reply["timings"]["predicted_ms"] / 1000,
        "cpu_seconds": end.user + end.system - begin.user - begin.system,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


main()
