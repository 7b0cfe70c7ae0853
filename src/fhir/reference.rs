//! A reference as type and id: `Patient/p1`, `http://ehr/fhir/Patient/p1/_history/2`, `urn:uuid:…`, `#contained`.
