"""Prints every document of the YAML (or plist) files that are given, as one JSON list."""
import json
import plistlib
import sys

import yaml

documents = []
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        if path.endswith(".plist"):
            documents.append(plistlib.load(file))
        else:
            documents.extend(yaml.safe_load_all(file))
json.dump(documents, sys.stdout)
