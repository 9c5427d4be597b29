"""Checks that Python's huggingface_hub finds what noisewright downloaded, without any network.

    python check_hub_cache.py CACHE_FOLDER org/name [REVISION]

Prints each file that huggingface_hub finds in the snapshot, and fails when a link leads nowhere, a blob has another hash than its name,
or one of the library's own ways in does not find it. Files are compared by `snapshot_download(local_files_only=True)`,
`try_to_load_from_cache` and `scan_cache_dir`.
"""

import hashlib
import os
import sys

from huggingface_hub import scan_cache_dir, snapshot_download, try_to_load_from_cache


def blob_name(path: str, length: int) -> str:
    """SHA-256 where the name has 64 digits, else git's SHA-1 of a blob."""
    with open(path, "rb") as file:
        content = file.read()
    if length == 64:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def main(cache: str, repository: str, revision: str = "main") -> None:
    folder = snapshot_download(repository, revision=revision, cache_dir=cache, local_files_only=True)
    print(f"snapshot_download: {os.path.relpath(folder, cache)}")
    count = 0
    for root, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = os.path.join(root, name)
            inside = os.path.relpath(path, folder).replace(os.sep, "/")
            found = try_to_load_from_cache(repository, inside, cache_dir=cache, revision=revision)
            assert found == path, f"{inside}: try_to_load_from_cache gives {found}"
            blob = os.path.realpath(path)
            expected = os.path.basename(blob)
            assert blob_name(blob, len(expected)) == expected, f"{inside}: its blob has another hash than its name"
            print(f"  {inside} -> {expected[:12]} ({os.path.getsize(blob)} bytes)")
            count += 1
    scan = scan_cache_dir(cache)
    assert not scan.warnings, scan.warnings
    revisions = {commit.commit_hash: sorted(commit.refs) for repo in scan.repos for commit in repo.revisions}
    print(f"scan_cache_dir: {revisions}, no warnings")
    print(f"{count} files agree")


if __name__ == "__main__":
    main(*sys.argv[1:])
