#!/bin/sh
# A round of calls to an address with curl: fails on a wrong answer. calls.sh --http1.1 http://…
set -eu
version=$1 base=$2

check() {
  expected=$1
  shift
  said=$(curl -sS --fail-with-body --noproxy '*' --max-time 60 "$version" "$@")
  [ "$said" = "$expected" ] || { echo "$* said '$said', not '$expected'" >&2; exit 1; }
}

for _ in 1 2 3; do
  check "GET /items?q=a+b%26c&n=1 0" "$base/items?q=a+b%26c&n=1"
  head -c 100000 /dev/zero | check "POST /items 100000" --data-binary @- "$base/items"
done
curl -sS --fail --noproxy '*' "$version" -I "$base/items" >/dev/null
seq 20000 | check "PUT /stream 108894" -T - "$base/stream"
echo done
