"""An independent look at released rows: searches them for everything that identifies the patients they were made of.

Shares no code with Headwater and knows neither its policy nor its guard. It knows the truth: the FHIR resources the rows came from. From
them it takes every name, number, address, phone, mail, id and birth date, and searches the rows for each, of anybody and, where the
identified rows stand beside (`--identified`), of the row's own patient down to short names, towns and postal codes. Beside the truth it
uses the pattern recognisers of Presidio (presidio-analyzer, PyPI) and its own shapes of dates.

    scan.py --source NDJSON_DIR --rows ROWS_DIR --policy safe-harbor [--identified ROWS_DIR] [--published PATH…]
            [--canaries FILE] [--report FILE]

Prints counts by kind and column as one JSON object, never a value. Exit code 0: nothing found; 4: something. What is set aside, and why,
is counted: see README.md beside this file.
"""

import argparse
import collections
import csv
import datetime
import gzip
import hashlib
import itertools
import json
import pathlib
import re
import sys
import time
import unicodedata

import ahocorasick

# A key that de-identification drew: 128 bits in hex, or 63 bits as a number. Such a value is random; chance alone puts digits of some
# patient's number into one of millions, so it is searched for its own patient's identifiers, and as a whole for anybody's.
SURROGATE = re.compile(r"[0-9a-f]{32}|[1-9][0-9]{14,18}")
# 63 random bits have fewer digits now and then; only where the model says that a column holds keys.
SHORT_SURROGATE = re.compile(r"[1-9][0-9]{10,13}")
WORD = re.compile(r"[^\W_]+")
RUN = re.compile(r"[^\W\d_]+|\d+")
DATE = re.compile(r"(?<!\d)(\d{4})-(\d{2})-(\d{2})(?!\d)")
OTHER_DATES = [
    re.compile(r"(?<![\d./-])\d{1,2}[/.-]\d{1,2}[/.-](?:19|20)\d{2}(?!\d)"),
    re.compile(r"(?<![\d./-])(?:19|20)\d{2}[/.]\d{1,2}[/.]\d{1,2}(?!\d)"),
    re.compile(r"(?<!\d)(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)"),
    re.compile(r"(?i)\b(?:\d{1,2}(?:st|nd|rd|th)?\s+)?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?,?\s+\d{1,2}(?:st|nd|rd|th)?,?\s+(?:19|20)\d{2}"),
    re.compile(r"(?i)\b\d{1,2}[ -](?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[ ,-]+(?:19|20)\d{2}"),
]
MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"]
# Terminologies that anybody can look up: their codes name no person.
PUBLISHED_SYSTEMS = re.compile(
    r"^(http://(loinc\.org|snomed\.info/sct|www\.nlm\.nih\.gov/research/umls/rxnorm|unitsofmeasure\.org|hl7\.org/fhir/(sid/(icd-10|icd-9|icd-10-cm|"
    r"icd-9-cm|cvx|ndc)|[a-z-]+)|terminology\.hl7\.org/.*|www\.ama-assn\.org/go/cpt|www\.cms\.gov/.*|www\.ada\.org/.*)|urn:oid:2\.16\.840\.1\.113883\.6\.\d+|https://nahdo\.org/sopt)$"
)
# Presidio gives 0.01 to 0.3 to bare numbers and letters of a length that some document has; a shape that it would act on has 0.4 and more.
LEAST_SCORE = 0.4
# Values of one column that are remembered; beyond them each is looked at anew.
REMEMBERED = 200_000


def fold(text):
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).lower()


def spaced(text):
    """The words of a text with one blank around each."""
    return " " + " ".join(WORD.findall(fold(text))) + " "


def compact(text):
    return "".join(WORD.findall(fold(text)))


def lines(folder, kind=None):
    """The type named by the file and each line of a folder of NDJSON."""
    for path in sorted(pathlib.Path(folder).iterdir()):
        match = re.fullmatch(r"([A-Za-z]+).*\.ndjson(\.gz)?", path.name)
        if match and (kind is None or match[1] == kind):
            opened = gzip.open(path, "rt", encoding="utf-8") if match[2] else open(path, encoding="utf-8")
            with opened as file:
                for line in file:
                    if line.strip():
                        yield match[1], line


class Person:
    __slots__ = ("phrases", "places", "numbers", "birth")

    def __init__(self):
        self.phrases = set()
        self.places = set()
        self.numbers = set()
        self.birth = None


class Truth:
    """What identifies the patients, taken from their resources."""

    def __init__(self, folder):
        self.people = collections.defaultdict(Person)
        self.phrases = {}
        self.numbers = {}
        self.ids = {}
        self.codes = set()
        self.order = []
        self.newest_year = 0
        for kind, line in lines(folder):
            self.one(kind, line)
        # What a careless surrogate would be: a hash without a key, which anybody can make of an id.
        self.hashes = set()
        for text, kind in self.ids.items():
            for raw in (text.encode(), f"{kind}/{text}".encode()):
                self.hashes.update(make(raw).digest()[:16] for make in (hashlib.md5, hashlib.sha1, hashlib.sha256))

    def one(self, kind, line):
        found = re.search(r'"id":\s*"([^"]{1,128})"', line)
        if found and kind not in ("Organization", "Location"):
            self.ids[found[1].lower()] = kind
        if kind == "Patient":
            patient = json.loads(line)
            self.order.append(patient["id"])
            self.of_patient(self.people[patient["id"]], patient)
        elif kind == "RelatedPerson":
            other = json.loads(line)
            owner = other.get("patient", {}).get("reference", "").removeprefix("Patient/")
            self.of_human(self.people[owner], other, "relative's ")
        elif kind == "Coverage":
            coverage = json.loads(line)
            owner = coverage.get("beneficiary", {}).get("reference", "").removeprefix("Patient/")
            self.number(self.people[owner], "health plan number", coverage.get("subscriberId", ""))
        elif kind == "Practitioner":
            self.of_human(Person(), json.loads(line), "practitioner's ")
        else:
            for year in re.findall(r'"((?:19|20)\d{2})-\d{2}-\d{2}', line):
                self.newest_year = max(self.newest_year, int(year))
        if '"coding"' in line:
            for part in re.findall(r'\{[^{}]*"system"[^{}]*\}', line):
                coding = json.loads(part)
                if PUBLISHED_SYSTEMS.match(coding.get("system", "")):
                    self.codes.add(str(coding.get("code", "")))
                    self.codes.add(str(coding.get("display", "")))

    def of_patient(self, person, patient):
        self.of_human(person, patient, "")
        for contact in patient.get("contact", []):
            self.of_human(person, {"name": [contact.get("name", {})], "telecom": contact.get("telecom", []),
                                   "address": [contact["address"]] if "address" in contact else []}, "relative's ")
        for extension in patient.get("extension", []):
            if extension["url"].endswith("mothersMaidenName"):
                self.name(person, "relative's ", extension.get("valueString", ""))
        person.birth = patient.get("birthDate")
        if person.birth and len(person.birth) == 10:
            for spelling in dates(person.birth):
                person.phrases.add(spelling)

    def of_human(self, person, human, whose):
        for name in human.get("name", []):
            for part in [name.get("family", ""), name.get("text", ""), *name.get("given", [])]:
                self.name(person, whose, part)
        for telecom in human.get("telecom", []):
            value = telecom.get("value", "")
            if "@" in value:
                self.phrase(person, whose + "mail", value)
            else:
                self.number(person, whose + "phone", value)
                if telecom.get("system") == "url":
                    self.phrase(person, whose + "url", value)
        for address in human.get("address", []):
            for line in address.get("line", []):
                self.phrase(person, whose + "address", line)
            for key in ("city", "district", "postalCode"):
                if address.get(key):
                    person.phrases.add(spaced(address[key]).strip())
                    person.places.add(spaced(address[key]).strip())
        for identifier in human.get("identifier", []):
            if str(identifier.get("system", "")).endswith("us-npi") and whose.startswith("practitioner"):
                self.number(person, "practitioner's number", identifier.get("value", ""))
            else:
                self.number(person, whose + "number", identifier.get("value", ""))
        if whose == "" and "id" in human:
            self.number(person, "id", human["id"])

    def name(self, person, whose, text):
        """A name and each part of it; Synthea writes a number behind, which nobody would."""
        for form in {text, *text.replace("-", " ").split(), re.sub(r"\d+", "", text)}:
            phrase = spaced(form).strip()
            if len(phrase) >= 3:
                person.phrases.add(phrase)
                if len(phrase) >= 4:
                    self.phrases.setdefault(phrase, whose + "name")

    def phrase(self, person, kind, text):
        phrase = spaced(text).strip()
        if len(phrase) >= 6:
            person.phrases.add(phrase)
            self.phrases.setdefault(phrase, kind)

    def number(self, person, kind, text):
        number = compact(text)
        phrase = spaced(text).strip()
        if len(number) >= 5:
            person.numbers.add(number)
            person.phrases.add(phrase)
            self.phrases.setdefault(phrase, kind)
        if len(number) >= 7:
            self.numbers.setdefault(number, kind)


def dates(text):
    """A date in the spellings people use, as phrases."""
    year, month, day = (int(part) for part in text.split("-"))
    name = MONTHS[month - 1]
    forms = [f"{year} {month:02} {day:02}", f"{month} {day} {year}", f"{month:02} {day:02} {year}", f"{day} {month} {year}",
             f"{day:02} {month:02} {year}", f"{year}{month:02}{day:02}", f"{month:02}{day:02}{year}", f"{day:02}{month:02}{year}"]
    for month_name in (name, name[:3]):
        forms += [f"{month_name} {day} {year}", f"{day} {month_name} {year}", f"{day:02} {month_name} {year}"]
    return forms


def automaton(patterns):
    found = ahocorasick.Automaton()
    for text, kind in patterns.items():
        found.add_word(text, (len(text), kind))
    found.make_automaton()
    return found


class Library:
    """Presidio's pattern recognisers, without a language model."""

    def __init__(self):
        import tldextract.tldextract as tld
        from presidio_analyzer import predefined_recognizers as all_of

        # The list of domains inside the package; nothing is fetched.
        tld.TLD_EXTRACTOR = tld.TLDExtract(suffix_list_urls=())
        names = ["CreditCardRecognizer", "CryptoRecognizer", "EmailRecognizer", "IbanRecognizer", "IpRecognizer", "MedicalLicenseRecognizer",
                 "PhoneRecognizer", "UrlRecognizer", "UsBankRecognizer", "UsItinRecognizer", "UsLicenseRecognizer", "UsPassportRecognizer",
                 "UsSsnRecognizer"]
        self.recognizers = [getattr(all_of, name)() for name in names]

    def findings(self, text):
        for recognizer in self.recognizers:
            for result in recognizer.analyze(text, recognizer.supported_entities, None) or []:
                if result.score >= LEAST_SCORE:
                    yield f"library: {result.entity_type.lower()}", text[result.start:result.end]


class Published:
    """Words that a model publishes itself, in its schemas, mappings and vocabulary: they say nothing of a person."""

    def __init__(self, paths):
        self.words, self.values = set(), set()
        # `table.column` of every whole number that is a row's key or points at one.
        self.keys = set()
        for path in paths:
            path = pathlib.Path(path)
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.suffix == ".json" and not file.name.endswith(".cases.json"):
                    read = json.loads(file.read_text(encoding="utf-8"))
                    self.take(read)
                    if file.name.endswith(".schema.json"):
                        self.take_keys(file.name.removesuffix(".schema.json"), read)
                elif file.suffix == ".csv":
                    with open(file, encoding="utf-8") as opened:
                        for row in csv.reader(opened, delimiter="\t"):
                            for cell in row:
                                self.add(cell)

    def take_keys(self, table, schema):
        for column, about in schema.get("properties", {}).items():
            if about.get("type") == "integer" and (column == schema.get("x-key") or "x-references" in about):
                self.keys.add(f"{table}.{column}")

    def take(self, value):
        if isinstance(value, dict):
            for key, child in value.items():
                # What a file says to its reader is no value that it can give.
                if key not in ("description", "title", "name", "publisher", "$comment", "documentation"):
                    self.take(child)
        elif isinstance(value, list):
            for child in value:
                self.take(child)
        elif isinstance(value, (str, int)) and not isinstance(value, bool):
            self.add(str(value))

    def add(self, text):
        self.values.add(text)
        if len(text) <= 64:
            self.words.update(WORD.findall(fold(text)))


class Look:
    """What one text holds, of anybody."""

    __slots__ = ("kinds", "tokens", "aside", "canaries")


class Scan:
    def __init__(self, truth, policy, published, canaries, library):
        self.truth, self.policy, self.published = truth, policy, published
        self.phrases = automaton({f" {phrase} ": kind for phrase, kind in truth.phrases.items()})
        self.numbers = automaton(truth.numbers | {phrase.replace(" ", ""): kind for phrase, kind in truth.phrases.items() if len(phrase) >= 8})
        self.library = library
        self.looks = {False: {}, True: {}}
        self.found = collections.Counter()
        self.aside = collections.Counter()
        self.rows = collections.Counter()
        self.cells = self.distinct = 0
        self.canaries = canaries
        self.canary_search = automaton({compact(text): (kind, text) for kind, text in canaries}) if canaries else None
        self.carried, self.caught = set(), set()

    def look(self, text, is_key=False):
        """What stands in a text, whoever's it is. Remembered: most texts of a column are the same few."""
        looks = self.looks[is_key]
        look = looks.get(text)
        if look is None:
            look = self.anew(text, is_key)
            if len(looks) < REMEMBERED:
                looks[text] = look
        return look

    def anew(self, text, is_key):
        self.distinct += 1
        look = Look()
        hits = []
        is_surrogate = SURROGATE.fullmatch(text) is not None or (is_key and SHORT_SURROGATE.fullmatch(text) is not None)
        look.tokens = frozenset() if is_surrogate else tokens(text)
        plain = compact(text)
        for token in {text.lower(), *re.findall(r"[a-z0-9.-]{3,64}", text.lower())}:
            if token in self.truth.ids and not is_code(token):
                hits.append((f"id of {self.truth.ids[token]}", token))
        if is_surrogate:
            if plain in self.truth.numbers:
                hits.append((self.truth.numbers[plain], plain))
            if len(plain) == 32 and bytes.fromhex(plain) in self.truth.hashes:
                hits.append(("plain hash of an id", plain))
        else:
            for form in {spaced(text), " " + " ".join(RUN.findall(fold(text))) + " "}:
                hits += [(kind, form[end - length + 1:end + 1]) for end, (length, kind) in self.phrases.iter(form)]
            hits += [(kind, plain[end - length + 1:end + 1]) for end, (length, kind) in self.numbers.iter(plain)]
            # A text that is an id of the source is told already.
            hits += [] if hits and all(kind.startswith("id") for kind, _ in hits) else self.library.findings(text)
            hits += self.dates(text)
        if self.canary_search:
            self.canary(text, plain, hits)
        look.kinds = collections.Counter()
        look.aside = collections.Counter()
        for kind, part in hits:
            why = self.harmless(kind, text, part)
            (look.aside if why else look.kinds)[f"{kind}: {why}" if why else kind] += 1
        return look

    def dates(self, text):
        if self.policy == "safe-harbor":
            for year, month, day in DATE.findall(text):
                # A model with whole dates only has the year as its first day.
                if (month, day) != ("01", "01"):
                    yield "full date", f"{year}-{month}-{day}"
        for shape in OTHER_DATES:
            for match in shape.finditer(text):
                yield "full date in another spelling", match[0]

    def harmless(self, kind, text, part):
        """Why a hit says nothing of a person; none if it does."""
        if text in self.truth.codes and (kind.startswith("library") or kind.startswith("full date") or kind.endswith("name")):
            return "a code or display of a published terminology"
        if text in self.published.values and not kind.startswith("id"):
            return "a value that the model publishes"
        if DATE.fullmatch(text[:10]) and kind.endswith("number"):
            return "a date, whose digits are also somebody's number"
        words = WORD.findall(part)
        if kind.endswith("name") and words and all(word in self.published.words for word in words):
            return "a word that the model publishes"
        return None

    def canary(self, text, plain, hits):
        """Which planted texts stand here, and which of them a finding lies on. The canaries themselves are never searched for to find."""
        here = {(kind, planted) for _, (_, (kind, planted)) in self.canary_search.iter(plain)}
        # Few digits stand in many numbers by chance.
        here = {one for one in here if len(compact(one[1])) >= 9 or fold(one[1]) in fold(text)}
        if SURROGATE.fullmatch(plain):
            here = {(kind, planted) for kind, planted in here if compact(planted) == plain}
        if here:
            self.carried |= here
            parts = [part for part in (compact(part) for _, part in hits) if len(part) >= 3]
            self.caught |= {one for one in here if any(part in compact(one[1]) or compact(one[1]) in part for part in parts)}

    def cell(self, column, value, person):
        self.cells += 1
        if isinstance(value, bool) or value is None:
            return
        if isinstance(value, (int, float)):
            self.number(column, value)
            if isinstance(value, float) or value < 1_000_000:
                return
            value = str(value)
        look = self.look(value, column in self.published.keys)
        for kind, number in look.kinds.items():
            self.found[f"{column}: {kind}"] += 1
        for kind, number in look.aside.items():
            self.aside[kind] += 1
        if person is not None:
            self.own(column, value, look, person)

    def own(self, column, value, look, person):
        """The row's own patient: also what is too common to be searched for of everybody."""
        if not look.tokens:
            if any(number in value for number in person.numbers if len(number) >= 6):
                self.found[f"{column}: own number within a surrogate"] += 1
        elif not look.tokens.isdisjoint(person.phrases):
            for phrase in look.tokens & person.phrases:
                if all(word in self.published.words for word in phrase.split()) and not phrase.isdigit():
                    self.aside["own word: a word that the model publishes"] += 1
                elif value in self.published.values or value in self.truth.codes:
                    self.aside["own word: a code or value that is published"] += 1
                elif self.policy == "limited-data-set" and phrase in person.places:
                    self.aside["own town or postal code: a limited data set may hold it, 45 CFR 164.514(e)(2)(ii)"] += 1
                elif self.policy == "limited-data-set" and DATE.fullmatch(value[:10]):
                    # A date that was moved may come to lie on the birth date; dates are held against their sources below.
                    self.aside["own birth date: a moved date"] += 1
                elif self.policy == "safe-harbor" and re.fullmatch(r"\d{4}-01-01(T00:00:00)?", value):
                    # Whoever was born on a first of January: the row says the year, as it does of everybody.
                    self.aside["own birth date: a year, written as its first day"] += 1
                else:
                    self.found[f"{column}: own identifier"] += 1
                    if self.canary_search:
                        self.canary(value, compact(value), [("own", phrase)])

    def number(self, column, value):
        if self.policy == "safe-harbor" and value:
            name = column.rsplit(".", 1)[-1]
            if re.search(r"month_of|day_of|_month$|_day$", name):
                self.found[f"{column}: element of a date"] += 1
            if re.search(r"(^|_)age(_|$)", name) and value > 90:
                self.found[f"{column}: age over 90"] += 1


def is_code(token):
    """Ids of the source that are plain words or short numbers, as `1` or `final`, would be found in everything."""
    return len(token) < 8 and not re.search(r"\d.*[a-z]|[a-z].*\d", token)


def tokens(text):
    """The words of a text and the phrases of up to five of them; letters and digits also apart."""
    out = set()
    for words in (WORD.findall(fold(text)), RUN.findall(fold(text))):
        for size in range(1, 6):
            out.update(" ".join(words[at:at + size]) for at in range(len(words) - size + 1))
    return frozenset(out) or frozenset(("",))


PATIENT_KEYS = ("patient_key", "patid", "person_id")


def owners(truth, identified):
    """The patient of each key that identified rows name a patient by."""
    named = {f"Patient/{patient}": patient for patient in truth.order}
    person = pathlib.Path(identified) / "person.ndjson"
    if person.exists():
        # OMOP's keys are numbers; the row of a person says whose.
        for line in open(person, encoding="utf-8"):
            row = json.loads(line)
            named[row["person_id"]] = row.get("person_source_value")
    return named


class Shifts:
    """How far each patient's dates were moved, by the identified rows beside."""

    def __init__(self):
        self.by_patient = collections.defaultdict(collections.Counter)

    def row(self, patient, before, after):
        for column, value in after.items():
            source = before.get(column)
            if isinstance(value, str) and isinstance(source, str) and DATE.fullmatch(value) and DATE.fullmatch(source):
                moved = datetime.date.fromisoformat(value) - datetime.date.fromisoformat(source)
                self.by_patient[patient][moved.days] += 1

    def told(self):
        return {"patients": len(self.by_patient), "withOneShift": sum(len(moved) == 1 for moved in self.by_patient.values()),
                "notMoved": sum(set(moved) == {0} for moved in self.by_patient.values())}


def scan_rows(truth, rows, policy, identified=None, published=(), canaries=(), library=None):
    """The report on one folder of rows."""
    began = time.monotonic()
    scan = Scan(truth, policy, Published(published), canaries, library or Library())
    named = owners(truth, identified) if identified else {}
    shifts, paired, unpaired = Shifts(), 0, []
    for path in sorted(pathlib.Path(rows).glob("*.ndjson")):
        table = path.stem
        beside = pathlib.Path(identified) / path.name if identified else None
        before = itertools.repeat(None)
        if beside and beside.exists() and path.stat().st_size:
            if count(path) == count(beside):
                before = open(beside, encoding="utf-8")
            else:
                unpaired.append(table)
        with open(path, encoding="utf-8") as file:
            for line, source in zip(file, before):
                row = json.loads(line)
                scan.rows[table] += 1
                person = None
                if source is not None:
                    source = json.loads(source)
                    patient = next((named.get(source[key]) for key in PATIENT_KEYS if key in source), None)
                    if patient in truth.people:
                        person = truth.people[patient]
                        paired += 1
                        if policy == "limited-data-set":
                            shifts.row(patient, source, row)
                for column, value in row.items():
                    scan.cell(f"{table}.{column}", value, person)
    report = {
        "policy": policy,
        "patients": len(truth.order),
        "identifiers": {"phrases": len(truth.phrases), "numbers": len(truth.numbers), "ids": len(truth.ids)},
        "rows": sum(scan.rows.values()), "cells": scan.cells, "textsLookedAt": scan.distinct,
        "rowsWithTheirPatient": paired, "tablesWithoutTheirPatients": unpaired,
        "found": dict(scan.found.most_common()), "foundInAll": sum(scan.found.values()),
        "setAside": dict(scan.aside.most_common()),
        "seconds": round(time.monotonic() - began, 1),
    }
    if policy == "limited-data-set" and identified:
        report["shifts"] = shifts.told()
    if canaries:
        kinds = collections.Counter(kind for kind, _ in canaries)
        carried, caught = (collections.Counter(kind for kind, _ in found) for found in (scan.carried, scan.caught))
        report["canaries"] = {"planted": len(canaries), "carried": len(scan.carried), "caught": len(scan.caught),
                              "byKind": {kind: [kinds[kind], carried[kind], caught[kind]] for kind in kinds}}
    return report


def read_canaries(path):
    return [tuple(json.loads(line)[key] for key in ("kind", "text")) for line in open(path, encoding="utf-8")]


def main():
    parser = argparse.ArgumentParser(description="Searches released rows for what identifies their patients.")
    parser.add_argument("--source", required=True, help="folder of the FHIR NDJSON the rows came from")
    parser.add_argument("--rows", required=True, help="folder of rows, one <table>.ndjson each")
    parser.add_argument("--policy", required=True, choices=["safe-harbor", "limited-data-set"])
    parser.add_argument("--identified", help="folder of the same rows before de-identification: says whose each row is")
    parser.add_argument("--published", nargs="*", default=[], help="files of the model: schemas, mappings, vocabulary")
    parser.add_argument("--canaries", help="JSON lines of kind and text that were planted")
    parser.add_argument("--report", help="write the counts to this file, too")
    args = parser.parse_args()
    canaries = read_canaries(args.canaries) if args.canaries else []
    report = scan_rows(Truth(args.source), args.rows, args.policy, args.identified, args.published, canaries)
    text = json.dumps(report, indent=1)
    print(text)
    if args.report:
        pathlib.Path(args.report).write_text(text + "\n", encoding="utf-8")
    return 4 if report["found"] else 0


def count(path):
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


if __name__ == "__main__":
    sys.exit(main())
