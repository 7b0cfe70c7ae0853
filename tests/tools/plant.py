"""Plants canaries into FHIR NDJSON: texts that name a patient, each once, in the patient's own resource and where rows are made from.

    plant.py SOURCE_DIR OUT_DIR CANARIES.jsonl [--patients 200]

A planted patient gets a name, numbers, phone, mail and address of which each stands nowhere else. Each of them, the birth date in words, and
strangers' phones, mails, social security numbers, addresses of pages and machines, and dates, which no Patient resource tells of, are then written into notes,
titles and the names of results. Every text is made up; phones are 555 numbers.
"""

import argparse
import base64
import gzip
import json
import pathlib
import random
import re

LETTERS = "bdfghjklmnprstvz"
VOWELS = "aeiou"


def word(dice, size=4):
    return "".join(dice.choice(LETTERS) + dice.choice(VOWELS) for _ in range(size)).capitalize()


def digits(dice, number):
    return str(dice.randint(1, 9)) + "".join(str(dice.randint(0, 9)) for _ in range(number - 1))


def plant(patient, dice):
    """Changes the resource; the canaries of this patient, as kind and text."""
    family, given, relative = word(dice), word(dice, 3), word(dice)
    mrn, record, ssn = digits(dice, 10), f"MR-{digits(dice, 5)}-{word(dice, 1)}", f"{dice.randint(100, 665)}-{dice.randint(10, 99)}-{dice.randint(1000, 9999)}"
    phone = f"{dice.randint(201, 989)}-555-{dice.randint(2000, 9999)}"
    mail = f"{given.lower()}.{family.lower()}@{word(dice, 2).lower()}.example.org"
    line = f"{dice.randint(2, 999)} {word(dice)} Crescent"
    patient["name"] = [{"use": "official", "family": family, "given": [given]}]
    patient.setdefault("identifier", []).extend([{"system": "https://planted.example/mrn", "value": mrn}, {"system": "https://planted.example/record", "value": record},
                                                 {"system": "http://hl7.org/fhir/sid/us-ssn", "value": ssn}])
    patient["telecom"] = [{"system": "phone", "value": phone}, {"system": "email", "value": mail}]
    patient["contact"] = [{"name": {"family": relative, "given": [word(dice, 3)]}}]
    if patient.get("address"):
        patient["address"][0]["line"] = [line]
    canaries = [("name", family), ("name", given), ("relative's name", relative), ("record number", mrn), ("record number", record), ("social security number", ssn),
                ("phone", phone), ("mail", mail), ("id", patient["id"])]
    if patient.get("address"):
        canaries.append(("address", line))
    if len(patient.get("birthDate", "")) == 10:
        year, month, day = (int(part) for part in patient["birthDate"].split("-"))
        name = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"][month - 1]
        canaries.append(("birth date", f"{name} {day}, {year}"))
    canaries += [
        ("stranger's phone", f"({dice.randint(201, 220)}) 555-{dice.randint(2000, 9999)}"),
        ("stranger's mail", f"{word(dice).lower()}@{word(dice).lower()}.org"),
        ("stranger's social security number", f"{dice.randint(100, 665)}-{dice.randint(10, 99)}-{dice.randint(1000, 9999)}"),
        ("page", f"https://www.{word(dice).lower()}.org/p/{digits(dice, 6)}"),
        ("machine", f"203.0.{dice.randint(1, 254)}.{dice.randint(1, 254)}"),
        ("date in figures", f"{dice.randint(1, 12)}/{dice.randint(13, 28)}/{dice.randint(1950, 2024)}"),
        # Of a year in which nobody else has a date.
        ("date", f"{dice.randint(1750, 1849)}-{dice.randint(2, 12):02}-{dice.randint(2, 28):02}"),
    ]
    return canaries


def carriers(patient, canaries, encounter):
    """Resources whose mapped elements say the canaries: a note each, and a result or a diagnosis for every other one."""
    subject = {"reference": f"Patient/{patient['id']}"}
    for at, (_, text) in enumerate(canaries):
        said = f"Spoke with {text} today."
        yield "DocumentReference", {
            "resourceType": "DocumentReference", "id": f"planted-{patient['id'][:13]}-{at}", "status": "current", "subject": subject,
            "type": {"coding": [{"system": "http://loinc.org", "code": "11506-3", "display": "Progress note"}], "text": "Progress note"},
            "category": [{"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "code": "clinical-note"}]}],
            "date": "2024-05-06T10:00:00Z", "description": text,
            "content": [{"attachment": {"contentType": "text/plain", "data": base64.b64encode(said.encode()).decode()}}],
        }
        coded = {"coding": [{"system": "http://loinc.org", "code": "718-7", "display": f"Hemoglobin {text}"}], "text": f"Hemoglobin {text}"}
        yield "Observation", {
            "resourceType": "Observation", "id": f"planted-{patient['id'][:13]}-r{at}", "status": "final", "subject": subject,
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}],
            "code": coded, "effectiveDateTime": "2024-05-06T10:00:00Z", "valueQuantity": {"value": 11.6, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"},
            **({"encounter": {"reference": encounter}} if encounter else {}),
        }


def main():
    parser = argparse.ArgumentParser(description="Plants canaries into a folder of NDJSON.")
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("canaries", type=pathlib.Path)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    dice = random.Random(args.seed)
    args.out.mkdir(parents=True)
    planted, more, left = {}, {}, args.patients
    for path in sorted(args.source.iterdir()):
        match = re.fullmatch(r"([A-Za-z]+)(.*)\.ndjson(\.gz)?", path.name)
        if not match:
            continue
        opened = gzip.open(path, "rt", encoding="utf-8") if match[3] else open(path, encoding="utf-8")
        with opened as source, open(args.out / f"{match[1]}{match[2]}.ndjson", "w", encoding="utf-8") as out:
            for line in source:
                if match[1] == "Patient" and left > 0 and line.strip():
                    left -= 1
                    patient = json.loads(line)
                    canaries = plant(patient, dice)
                    planted |= {text: kind for kind, text in canaries}
                    for kind, resource in carriers(patient, canaries, None):
                        more.setdefault(kind, []).append(resource)
                    line = json.dumps(patient, ensure_ascii=False) + "\n"
                out.write(line)
    for kind, resources in more.items():
        with open(args.out / f"{kind}.planted.ndjson", "w", encoding="utf-8") as out:
            out.writelines(json.dumps(resource, ensure_ascii=False) + "\n" for resource in resources)
    with open(args.canaries, "w", encoding="utf-8") as out:
        out.writelines(json.dumps({"kind": kind, "text": text}) + "\n" for text, kind in planted.items())


if __name__ == "__main__":
    main()
