#!/usr/bin/env bash
# Makes the files of this folder anew with OpenSSL 3: throw-away authorities, whose keys are not kept, stamp `promised.json`
# as an authority of the world would, and some as none should. README.md says what each is.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
days=36500

cat > promised.json <<'JSON'
[
  {
    "commitment": "154c2881c95b2a59248a159a36d8ba17592f9cb7453bfb4a28a6afe1ee4bf26f"
  }
]
JSON
promise=$(grep -o '[0-9a-f]\{64\}' promised.json)
head=$(sed -n 's/.*"digest":"\([0-9a-f]*\)".*/\1/p' "$here/commitments.jsonl" | tail -1)

cat > ts.cnf <<'CNF'
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[clerk]
basicConstraints = critical,CA:TRUE
keyUsage = critical,digitalSignature
[tsa]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[uncritical]
keyUsage = critical,digitalSignature
extendedKeyUsage = timeStamping
[both]
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping,codeSigning
[code]
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,codeSigning
[cipher]
keyUsage = critical,keyEncipherment
extendedKeyUsage = critical,timeStamping
[plain]
keyUsage = critical,digitalSignature
[stamp]
serial = ./serial
digests = sha256,sha512
default_policy = 1.3.6.1.4.1.99999.1
accuracy = secs:1
ordering = no
ess_cert_id_chain = no
ess_cert_id_alg = $ENV::ESS
signer_digest = sha256
CNF
export ESS=sha256
echo 01 > serial

key() { # name, algorithm, its option
  openssl genpkey -algorithm "$2" -pkeyopt "$3" -out "$1.key" 2> /dev/null
}
root() { # name, subject
  openssl req -new -x509 -key "$1.key" -subj "$2" -days "$days" -sha384 -extensions ca \
    -config <(cat ts.cnf; printf '[req]\ndistinguished_name=dn\n[dn]\n') -set_serial 1 -out "$1.pem"
}
leaf() { # name, authority, section, subject, serial, days
  openssl req -new -key "$1.key" -subj "$4" -config <(printf '[req]\ndistinguished_name=dn\n[dn]\n') -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -set_serial "$5" -days "${6:-$days}" -sha256 \
    -extfile ts.cnf -extensions "$3" -out "$1.pem" 2> /dev/null
}
stamp() { # result, signer, options of the reply; the query is query.tsq
  openssl ts -reply -config ts.cnf -section stamp -queryfile query.tsq -inkey "$2.key" -signer "$2.pem" "${@:3}" \
    -out "$1" 2> /dev/null
}
# What no authority signs: any content, by CMS alone.
sign() { # result, signer, content, more options
  openssl cms -sign -binary -nodetach -nosmimecap -md sha256 -outform DER -econtent_type 1.2.840.113549.1.9.16.1.4 \
    -in "$3" -signer "$2.pem" -inkey "$2.key" -out "$1" "${@:4}"
}

P256=ec_paramgen_curve:P-256
P384=ec_paramgen_curve:P-384
key ca EC $P384 && root ca '/O=Example Time/CN=Example Root'
key other RSA rsa_keygen_bits:2048 && root other '/O=Another Time/CN=Another Root'
# An authority that took the name of the first.
key twin EC $P384 && root twin '/O=Example Time/CN=Example Root'
key rsa RSA rsa_keygen_bits:2048 && leaf rsa ca tsa '/O=Example Time/CN=Stamp R' 16
key p256 EC $P256 && leaf p256 ca tsa '/O=Example Time/CN=Stamp E' 17
key p384 EC $P384 && leaf p384 ca tsa '/O=Example Time/CN=Stamp F' 18
key middle RSA rsa_keygen_bits:2048 && leaf middle ca ca '/O=Example Time/CN=Example Middle' 19
key low EC $P256 && leaf low middle tsa '/O=Example Time/CN=Stamp G' 20
# An authority by its own word, whose key may not sign certificates; and one that ends long before what it stamped.
key clerk RSA rsa_keygen_bits:2048 && leaf clerk ca clerk '/O=Example Time/CN=Example Clerk' 26
key under EC $P256 && leaf under clerk tsa '/O=Example Time/CN=Stamp H' 27
key brief EC $P256 && leaf brief ca ca '/O=Example Time/CN=Example Brief' 28 18250
key late EC $P256 && leaf late brief tsa '/O=Example Time/CN=Stamp I' 29
key bare EC $P256 && leaf bare ca plain '/O=Example Time/CN=No Stamp' 21
key uncritical EC $P256 && leaf uncritical ca uncritical '/O=Example Time/CN=Perhaps a Stamp' 22
key both EC $P256 && leaf both ca both '/O=Example Time/CN=Stamp and Code' 23
key code EC $P256 && leaf code ca code '/O=Example Time/CN=Code' 24
key cipher RSA rsa_keygen_bits:2048 && leaf cipher ca cipher '/O=Example Time/CN=Cipher' 25
# The same name and number as `p256`, under the authority of the same name.
key double EC $P256 && leaf double twin tsa '/O=Example Time/CN=Stamp E' 17

openssl ts -query -data promised.json -sha256 -cert -out query.tsq 2> /dev/null
stamp rsa.tsr rsa
stamp p256.tsr p256
stamp p384.tsr p384 -sha384
stamp chain.tsr low -chain middle.pem
stamp no-sign.tsr under -chain clerk.pem
cp middle.pem many.pem
for number in {2..16}; do
  openssl req -new -x509 -key late.key -subj "/CN=$number" -days "$days" -set_serial "$number" -extensions ca \
    -config <(cat ts.cnf; printf '[req]\ndistinguished_name=dn\n[dn]\n') >> many.pem
done
stamp many.tsr low -chain many.pem
stamp twin.tsr double
ESS=sha1 stamp sha512.tsr rsa -sha512
stamp token.tst p256 -token_out
openssl ts -query -data promised.json -sha256 -out query.tsq 2> /dev/null
stamp bare.tsr p256
for digest in head promise; do
  openssl ts -query -digest "${!digest}" -sha256 -cert -out query.tsq 2> /dev/null
  stamp "$digest.tsr" p256
done
openssl ts -query -data promised.json -sha512 -cert -out query.tsq 2> /dev/null
stamp imprint512.tsr p256
openssl ts -query -data promised.json -sha1 -cert -out query.tsq 2> /dev/null
stamp refused.tsr p256 || true

openssl cms -verify -noverify -inform DER -in token.tst -out content.der 2> /dev/null
year=$(LC_ALL=C grep -aobE '20[0-9]{12}Z' content.der | head -1 | cut -d: -f1)
for age in 1999 2099 2199; do
  cp content.der "$age.der"
  printf %s "$age" | dd of="$age.der" bs=1 seek="$year" conv=notrunc status=none
done
for age in 1999 2199; do
  sign "year$age.tst" p256 "$age.der" -cades
done
sign year2099.tst late 2099.der -cades -certfile brief.pem
sign pss.tst rsa content.der -cades -keyopt rsa_padding_mode:pss
sign no-ess.tst p256 content.der
sign no-eku.tst bare content.der -cades
sign uncritical.tst uncritical content.der -cades
sign two-uses.tst both content.der -cades
sign other-use.tst code content.der -cades
sign other-key.tst cipher content.der -cades
openssl cms -sign -binary -nodetach -nosmimecap -md sha256 -outform DER -cades -in content.der -signer p256.pem \
  -inkey p256.key -out other-content.tst
openssl cms -sign -binary -nodetach -nosmimecap -md sha256 -outform DER -cades -in content.der -signer p256.pem \
  -inkey p256.key -econtent_type 1.2.840.113549.1.9.16.1.2 -out other-kind.tst
openssl cms -sign -binary -nodetach -noattr -md sha256 -outform DER -econtent_type 1.2.840.113549.1.9.16.1.4 \
  -in content.der -signer p256.pem -inkey p256.key -out no-attributes.tst
openssl cms -sign -binary -nodetach -nosmimecap -md sha256 -outform DER -econtent_type 1.2.840.113549.1.9.16.1.4 -cades \
  -in content.der -signer p256.pem -inkey p256.key -signer rsa.pem -inkey rsa.key -out two-signers.tst

openssl x509 -in p256.pem -outform DER -out p256.crt
openssl x509 -in ca.pem -outform DER -out ca.crt
cat ca.pem p256.pem > ca-and-stamp.pem
cp promised.json ca.pem ca.crt other.pem twin.pem p256.crt ca-and-stamp.pem middle.pem ./*.tsr ./*.tst "$here"
