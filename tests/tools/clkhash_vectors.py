"""Writes tests/data/linkage/clkhash-0.18.3.json: what clkhash 0.18.3 makes of schemas that use every part of its format.

    python -m venv target/clkhash && target/clkhash/bin/python -m pip install clkhash==0.18.3
    target/clkhash/bin/python tests/tools/clkhash_vectors.py > tests/data/linkage/clkhash-0.18.3.json

All values are made up. A record that clkhash refuses stands with `"refused": true`.
"""

import json

from bitarray import bitarray
from clkhash.clk import generate_clks, hash_chunk
from clkhash.key_derivation import generate_key_lists
from clkhash.schema import from_json_dict
from clkhash.serialization import serialize_bitarray

SECRET = "a secret of forty bytes, for tests alone"
BLAKE = {"type": "blakeHash"}
DOUBLE = {"type": "doubleHash"}
SINGULAR = {"type": "doubleHash", "prevent_singularity": True}


def feature(identifier, format_, comparison, strategy, hash_=None, missing=None):
    hashing = {"comparison": comparison, "strategy": strategy}
    if hash_ is not None:
        hashing["hash"] = hash_
    if missing is not None:
        hashing["missingValue"] = missing
    return {"identifier": identifier, "format": format_, "hashing": hashing}


def ngram(n, positional=None):
    return {"type": "ngram", "n": n} | ({} if positional is None else {"positional": positional})


def schema(features, l=1024, kdf=None, **config):
    return {"version": 3, "clkConfig": {"l": l, "kdf": {"type": "HKDF"} | (kdf or {})} | config, "features": features}


TEXT = {"type": "string", "encoding": "utf-8"}
PER = {"bitsPerFeature": 200}
NAMES = [["ada"], ["Ada"], ["josé maria"], ["o'neil"], ["x"], [""], ["李明"], ["a" * 70]]
CASES = [
    ("bigrams, defaults", schema([feature("f", TEXT, ngram(2), PER)]), NAMES),
    ("trigrams by place", schema([feature("f", TEXT, ngram(3, True), PER)]), NAMES),
    ("unigrams, bits per token", schema([feature("f", TEXT, ngram(1, False), {"bitsPerToken": 33})]), NAMES),
    ("more than one digest", schema([feature("f", TEXT, {"type": "exact"}, {"bitsPerToken": 200})]), NAMES),
    ("fewer bits than tokens", schema([feature("f", TEXT, ngram(2), {"bitsPerFeature": 3})]), NAMES),
    ("double hash", schema([feature("f", TEXT, ngram(2), PER, DOUBLE)]), NAMES),
    ("double hash, odd length", schema([feature("f", TEXT, ngram(2), PER, DOUBLE)], l=1009), NAMES),
    ("double hash, short, singular", schema([feature("f", TEXT, ngram(2), {"bitsPerToken": 3}, DOUBLE)], l=8), NAMES),
    ("double hash, short, not singular", schema([feature("f", TEXT, ngram(2), {"bitsPerToken": 3}, SINGULAR)], l=8), NAMES),
    ("folded once", schema([feature("f", TEXT, ngram(2), PER)], xor_folds=1), NAMES),
    ("folded thrice", schema([feature("f", TEXT, ngram(2), PER)], l=256, xor_folds=3, xorFolds=3), NAMES),
    ("folds by the format's own name", schema([feature("f", TEXT, ngram(2), PER)], xorFolds=2), NAMES),
    ("SHA512, short keys", schema([feature("f", TEXT, ngram(2), PER), feature("g", TEXT, ngram(2), PER, DOUBLE)],
                                  kdf={"hash": "SHA512", "salt": "c2FsdA==", "info": "aW5mbw==", "keySize": 17}),
     [["ada", "lovelace"], ["", "x"]]),
    ("long keys for double hash", schema([feature("f", TEXT, ngram(2), PER, DOUBLE)], kdf={"keySize": 200}), NAMES),
    ("an ignored feature keeps its keys", schema([{"identifier": "id", "ignored": True}, feature("f", TEXT, ngram(2), PER)]),
     [["1", "ada"], ["", "ada"]]),
    ("utf-16", schema([feature("f", {"type": "string", "encoding": "utf-16"}, ngram(2), PER)]), NAMES + [["😀"]]),
    ("utf-32", schema([feature("f", {"type": "string", "encoding": "utf-32"}, ngram(2), PER)]), NAMES + [["😀"]]),
    ("ascii", schema([feature("f", {"type": "string", "encoding": "ascii"}, ngram(2), PER)]), NAMES),
    ("upper case, 2 to 5", schema([feature("f", {"type": "string", "case": "upper", "minLength": 2, "maxLength": 5}, ngram(2), PER)]),
     [["ADA"], ["Ada"], ["A"], ["ÉÉÉÉÉ"], ["ABCDEF"], ["1-2"]]),
    ("lower case", schema([feature("f", {"type": "string", "case": "lower"}, ngram(2), PER)]), [["ada"], ["Ada"], ["straße"]]),
    ("pattern", schema([feature("f", {"type": "string", "pattern": "[0-9]{5}(-[0-9]{4})?|K.A"}, ngram(2), PER)]),
     [["45229"], ["45229-0001"], ["452290"], ["KÄA"], ["xKAA"], [""]]),
    ("integer", schema([feature("f", {"type": "integer", "minimum": -5, "maximum": 100000}, ngram(1, True), PER)]),
     [["13"], ["+13"], [" 13 "], ["0013"], ["1_3"], ["-0"], ["-5"], ["-6"], ["100001"], ["1.0"], [""], ["x"]]),
    ("date", schema([feature("f", {"type": "date", "format": "%d/%m/%Y"}, ngram(1, True), PER)]),
     [["14/03/2010"], ["4/3/2010"], ["31/02/2010"], ["2010-03-14"], [""]]),
    ("date in words", schema([feature("f", {"type": "date", "format": "%B %d, %y"}, ngram(1, True), PER)]),
     [["March 14, 10"], ["march 4, 69"], ["Mar 14, 10"], ["March 14, 2010"]]),
    ("enum", schema([feature("f", {"type": "enum", "values": ["M", "F", "U"]}, {"type": "exact"}, {"bitsPerFeature": 60})]),
     [["M"], ["F"], ["m"], [""]]),
    ("missing", schema([feature("f", {"type": "integer"}, ngram(1, True), PER, BLAKE, {"sentinel": "N/A"}),
                        feature("g", {"type": "enum", "values": ["M"]}, {"type": "exact"}, PER, DOUBLE, {"sentinel": "", "replaceWith": "none"})]),
     [["N/A", ""], ["7", "M"], ["n/a", "M"], ["7", "none"]]),
    ("numeric, whole", schema([feature("f", {"type": "integer"}, {"type": "numeric", "thresholdDistance": 8, "resolution": 2}, PER)]),
     [["25"], ["26"], ["-25"], ["0"], ["1000000"], ["21"], ["3"]]),
    ("numeric, odd threshold", schema([feature("f", {"type": "integer"}, {"type": "numeric", "thresholdDistance": 7, "resolution": 3}, {"bitsPerToken": 5})]),
     [[str(n)] for n in range(-4, 12)]),
    ("numeric, with places", schema([feature("f", {"type": "string"}, {"type": "numeric", "thresholdDistance": 0.35, "resolution": 5, "fractional_precision": 2}, PER)]),
     [["1.23"], ["1.235"], ["-7.5"], ["12"], [" 3.5"], ["1e3"], [""]]),
    ("numeric, without places, of a fraction", schema([feature("f", {"type": "string"}, {"type": "numeric", "thresholdDistance": 10, "resolution": 4}, PER)]),
     [["1.9"], ["-1.9"], ["30"]]),
    ("a whole person", schema([
        feature("given", TEXT, ngram(2), PER), feature("family", TEXT, ngram(2), PER),
        feature("dob", {"type": "date", "format": "%Y-%m-%d"}, ngram(1, True), PER, None, {"sentinel": ""}),
        feature("sex", {"type": "enum", "values": ["male", "female"]}, {"type": "exact"}, {"bitsPerFeature": 60}, None, {"sentinel": "", "replaceWith": "unknown"}),
        feature("zip", {"type": "string", "pattern": "[0-9]{5}"}, ngram(1, True), {"bitsPerFeature": 100}, None, {"sentinel": ""}),
    ], l=512, xor_folds=1, kdf={"salt": "c2FsdA=="}),
     [["ada", "lovelace", "2010-03-14", "female", "45229"], ["ada", "", "", "", ""]]),
]


def encode(schema_, keys, record):
    try:
        clks, _ = hash_chunk([record], keys, schema_, True, 0)
        return {"record": record, "clk": serialize_bitarray(clks[0])}
    except ValueError:
        return {"record": record, "refused": True}


vectors = []
for name, text, records in CASES:
    read = from_json_dict(json.loads(json.dumps(text)))
    keys = generate_key_lists(SECRET, len(read.fields), key_size=read.kdf_key_size, salt=read.kdf_salt, info=read.kdf_info,
                              kdf=read.kdf_type, hash_algo=read.kdf_hash)
    vectors.append({"name": name, "schema": text, "records": [encode(read, keys, record) for record in records],
                    "keys": [[key.hex() for key in pair] for pair in keys]})
print(json.dumps({"generator": "clkhash 0.18.3, tests/tools/clkhash_vectors.py", "secret": SECRET, "vectors": vectors}, ensure_ascii=False, indent=1))
