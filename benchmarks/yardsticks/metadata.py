"""Opens a metadata file once with Python's json; `npm run bench -- metadata PYTHON` calls it.

usage: metadata.py FILE
"""

import json
import resource
import sys
import time

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
cpu_started = time.process_time()
started = time.perf_counter()
with open(sys.argv[1], encoding="utf-8") as file:
    metadata = json.load(file)
seconds = time.perf_counter() - started
cpu_seconds = time.process_time() - cpu_started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": seconds, "cpuSeconds": cpu_seconds, "peakBytes": peak, "startBytes": before}))
