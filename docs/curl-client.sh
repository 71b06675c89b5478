#!/usr/bin/env bash
# Requests a key pair with only curl and openssl, and prints the answer:
#   FUNCTION_URL=https://... SECRET_ID=... SECRET_KEY=... curl-client.sh NAME RECIPIENT [IDEMPOTENCY_KEY]
# RECIPIENT is an age recipient or an SSH public key line. Copy this file to wherever it is needed.
# Run it again to get the same answer, never a second key pair: the order itself is the key unless you give one.
set -euo pipefail
usage='usage: FUNCTION_URL=... SECRET_ID=... SECRET_KEY=... curl-client.sh NAME RECIPIENT [IDEMPOTENCY_KEY]'
name=${1:?$usage} recipient=${2:?$usage}
: "${FUNCTION_URL:?$usage}" "${SECRET_ID:?$usage}" "${SECRET_KEY:?$usage}"

path=/v1/key-pairs
url=${FUNCTION_URL%/}
host=${url#*://}
body=$(printf '{"keyName":"%s","recipients":["%s"]}' "$name" "$recipient")
read -r timestamp date < <(date -u '+%s %Y-%m-%d')
lower() { printf %s "$1" | tr '[:upper:]' '[:lower:]'; } # TC3 signs lower-case header values

sha256() { openssl dgst -sha256 -r | cut -d' ' -f1; }
# The key is briefly visible to other users in openssl's arguments. On a shared machine, use an SDK instead.
hmac() { openssl dgst -sha256 -mac HMAC -macopt "hexkey:$1" -r | cut -d' ' -f1; }
hex() { od -An -vtx1 | tr -d ' \n'; }

# TC3-HMAC-SHA256: https://cloud.tencent.com/document/api/213/30654
signed_headers='content-type;host' idempotency='' extra=()
if [ -n "${3:-}" ]; then
    signed_headers+=';idempotency-key' idempotency="idempotency-key:$(lower "$3")"$'\n'
    extra=(--header "Idempotency-Key: $3")
fi
canonical=$(printf 'POST\n%s\n\ncontent-type:application/json\nhost:%s\n%s\n%s\n%s' \
    "$path" "$(lower "$host")" "$idempotency" "$signed_headers" "$(printf %s "$body" | sha256)")
scope=$date/cvm/tc3_request
text=$(printf 'TC3-HMAC-SHA256\n%s\n%s\n%s' "$timestamp" "$scope" "$(printf %s "$canonical" | sha256)")
key=$(printf 'TC3%s' "$SECRET_KEY" | hex)
for part in "$date" cvm tc3_request "$text"; do
    key=$(printf %s "$part" | hmac "$key")
done

curl --silent --show-error --fail-with-body --max-time 60 "$url$path" \
    --header 'Content-Type: application/json' \
    ${extra[@]+"${extra[@]}"} \
    --header "X-TC-Timestamp: $timestamp" \
    --header "Authorization: TC3-HMAC-SHA256 Credential=$SECRET_ID/$scope, SignedHeaders=$signed_headers, Signature=$key" \
    --data-binary "$body"
