//! What a pediatric IBD clinic measures, prescribes, does and writes down, by code: LOINC, UCUM, RxNorm ingredients,
//! ICD-10-CM, SNOMED CT, CVX. Plain tables, no chance.

pub(super) const LOINC: &str = "http://loinc.org";
pub(super) const SNOMED: &str = "http://snomed.info/sct";
pub(super) const ICD10CM: &str = "http://hl7.org/fhir/sid/icd-10-cm";
pub(super) const RXNORM: &str = "http://www.nlm.nih.gov/research/umls/rxnorm";
pub(super) const CVX: &str = "http://hl7.org/fhir/sid/cvx";
pub(super) const NPI: &str = "http://hl7.org/fhir/sid/us-npi";
/// The network's local code system of activity scores: `pga`, `pucai`, `spcdai`, `wpcdai`.
pub(super) const ACTIVITY: &str = "https://headwater.example/fhir/CodeSystem/ibd-activity";
/// The network's local code system of the physician's global assessment.
pub(super) const PGA: &str = "https://headwater.example/fhir/CodeSystem/pga";

/// A laboratory test. Values are whole numbers of 10^-scale.
pub(super) struct Lab {
    pub(super) loinc: &'static str,
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) scale: u32,
    pub(super) low: Option<i64>,
    pub(super) high: Option<i64>,
    /// What a quiet disease gives, and what an active one gives.
    pub(super) quiet: (i64, i64),
    pub(super) active: (i64, i64),
    /// Below and above these the laboratory reports `<` and `>`.
    pub(super) detection: (Option<i64>, Option<i64>),
    pub(super) panel: Panel,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Panel {
    BloodCount,
    Chemistry,
    Alone,
}

#[rustfmt::skip]
pub(super) const LABS: &[Lab] = &[
    Lab { loinc: "718-7", name: "Hemoglobin [Mass/volume] in Blood", unit: "g/dL", scale: 1, low: Some(115), high: Some(155), quiet: (118, 148), active: (88, 124), detection: (None, None), panel: Panel::BloodCount },
    Lab { loinc: "4544-3", name: "Hematocrit [Volume Fraction] of Blood by Automated count", unit: "%", scale: 1, low: Some(350), high: Some(450), quiet: (352, 440), active: (270, 370), detection: (None, None), panel: Panel::BloodCount },
    Lab { loinc: "777-3", name: "Platelets [#/volume] in Blood by Automated count", unit: "10*3/uL", scale: 0, low: Some(150), high: Some(450), quiet: (190, 420), active: (380, 720), detection: (None, None), panel: Panel::BloodCount },
    Lab { loinc: "6690-2", name: "Leukocytes [#/volume] in Blood by Automated count", unit: "10*3/uL", scale: 2, low: Some(450), high: Some(1350), quiet: (480, 1100), active: (700, 1700), detection: (None, None), panel: Panel::BloodCount },
    Lab { loinc: "1751-7", name: "Albumin [Mass/volume] in Serum or Plasma", unit: "g/dL", scale: 2, low: Some(350), high: Some(500), quiet: (360, 480), active: (220, 370), detection: (None, None), panel: Panel::Chemistry },
    Lab { loinc: "1742-6", name: "Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma", unit: "U/L", scale: 0, low: None, high: Some(35), quiet: (9, 34), active: (12, 88), detection: (None, None), panel: Panel::Chemistry },
    Lab { loinc: "1920-8", name: "Aspartate aminotransferase [Enzymatic activity/volume] in Serum or Plasma", unit: "U/L", scale: 0, low: None, high: Some(40), quiet: (14, 38), active: (16, 80), detection: (None, None), panel: Panel::Chemistry },
    Lab { loinc: "1988-5", name: "C reactive protein [Mass/volume] in Serum or Plasma", unit: "mg/L", scale: 1, low: None, high: Some(50), quiet: (1, 60), active: (70, 980), detection: (Some(5), None), panel: Panel::Alone },
    Lab { loinc: "4537-7", name: "Erythrocyte sedimentation rate by Westergren method", unit: "mm/h", scale: 0, low: None, high: Some(20), quiet: (2, 20), active: (22, 92), detection: (None, None), panel: Panel::Alone },
    Lab { loinc: "2276-4", name: "Ferritin [Mass/volume] in Serum or Plasma", unit: "ng/mL", scale: 1, low: Some(100), high: Some(1400), quiet: (120, 900), active: (30, 300), detection: (None, None), panel: Panel::Alone },
    Lab { loinc: "38445-3", name: "Calprotectin [Mass/mass] in Stool", unit: "ug/g", scale: 0, low: None, high: Some(50), quiet: (8, 190), active: (260, 4200), detection: (Some(16), Some(3000)), panel: Panel::Alone },
    Lab { loinc: "62292-8", name: "25-Hydroxyvitamin D2+25-Hydroxyvitamin D3 [Mass/volume] in Serum or Plasma", unit: "ng/mL", scale: 1, low: Some(300), high: Some(1000), quiet: (200, 520), active: (110, 360), detection: (None, None), panel: Panel::Alone },
];

/// Measured only where the drug is given.
#[rustfmt::skip]
pub(super) const INFLIXIMAB_LEVEL: Lab = Lab { loinc: "39803-2", name: "inFLIXimab [Mass/volume] in Serum or Plasma", unit: "ug/mL", scale: 1, low: Some(50), high: None, quiet: (50, 190), active: (2, 70), detection: (Some(4), None), panel: Panel::Alone };

/// A drug as the clinic orders it.
pub(super) struct Drug {
    pub(super) rxnorm: &'static str,
    pub(super) name: &'static str,
    pub(super) group: Group,
    pub(super) dose: i64,
    pub(super) unit: &'static str,
    pub(super) route: Route,
    pub(super) every_days: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Biologic,
    SmallMolecule,
    Immunomodulator,
    Aminosalicylate,
    Steroid,
    Antibiotic,
    Supplement,
}

#[derive(Clone, Copy)]
pub(super) enum Route {
    Oral,
    Intravenous,
    Subcutaneous,
}

impl Route {
    /// SNOMED CT code and its name.
    pub(super) fn code(self) -> (&'static str, &'static str) {
        match self {
            Self::Oral => ("26643006", "Oral route"),
            Self::Intravenous => ("47625008", "Intravenous route"),
            Self::Subcutaneous => ("34206005", "Subcutaneous route"),
        }
    }
}

#[rustfmt::skip]
pub(super) const DRUGS: &[Drug] = &[
    Drug { rxnorm: "191831", name: "infliximab", group: Group::Biologic, dose: 300, unit: "mg", route: Route::Intravenous, every_days: 56 },
    Drug { rxnorm: "327361", name: "adalimumab", group: Group::Biologic, dose: 40, unit: "mg", route: Route::Subcutaneous, every_days: 14 },
    Drug { rxnorm: "819300", name: "golimumab", group: Group::Biologic, dose: 100, unit: "mg", route: Route::Subcutaneous, every_days: 28 },
    Drug { rxnorm: "709271", name: "certolizumab pegol", group: Group::Biologic, dose: 400, unit: "mg", route: Route::Subcutaneous, every_days: 28 },
    Drug { rxnorm: "1538097", name: "vedolizumab", group: Group::Biologic, dose: 300, unit: "mg", route: Route::Intravenous, every_days: 56 },
    Drug { rxnorm: "847083", name: "ustekinumab", group: Group::Biologic, dose: 90, unit: "mg", route: Route::Subcutaneous, every_days: 56 },
    Drug { rxnorm: "2166040", name: "risankizumab", group: Group::Biologic, dose: 360, unit: "mg", route: Route::Subcutaneous, every_days: 56 },
    Drug { rxnorm: "1357536", name: "tofacitinib", group: Group::SmallMolecule, dose: 10, unit: "mg", route: Route::Oral, every_days: 1 },
    Drug { rxnorm: "2196092", name: "upadacitinib", group: Group::SmallMolecule, dose: 30, unit: "mg", route: Route::Oral, every_days: 1 },
    Drug { rxnorm: "1256", name: "azathioprine", group: Group::Immunomodulator, dose: 75, unit: "mg", route: Route::Oral, every_days: 1 },
    Drug { rxnorm: "103", name: "mercaptopurine", group: Group::Immunomodulator, dose: 50, unit: "mg", route: Route::Oral, every_days: 1 },
    Drug { rxnorm: "6851", name: "methotrexate", group: Group::Immunomodulator, dose: 15, unit: "mg", route: Route::Subcutaneous, every_days: 7 },
    Drug { rxnorm: "52582", name: "mesalamine", group: Group::Aminosalicylate, dose: 2400, unit: "mg", route: Route::Oral, every_days: 1 },
    Drug { rxnorm: "9524", name: "sulfasalazine", group: Group::Aminosalicylate, dose: 1500, unit: "mg", route: Route::Oral, every_days: 1 },
    Drug { rxnorm: "18747", name: "balsalazide", group: Group::Aminosalicylate, dose: 2250, unit: "mg", route: Route::Oral, every_days: 1 },
    Drug { rxnorm: "8640", name: "prednisone", group: Group::Steroid, dose: 40, unit: "mg", route: Route::Oral, every_days: 1 },
    Drug { rxnorm: "8638", name: "prednisolone", group: Group::Steroid, dose: 30, unit: "mg", route: Route::Oral, every_days: 1 },
    Drug { rxnorm: "6902", name: "methylprednisolone", group: Group::Steroid, dose: 40, unit: "mg", route: Route::Intravenous, every_days: 1 },
    Drug { rxnorm: "19831", name: "budesonide", group: Group::Steroid, dose: 9, unit: "mg", route: Route::Oral, every_days: 1 },
    Drug { rxnorm: "6922", name: "metronidazole", group: Group::Antibiotic, dose: 250, unit: "mg", route: Route::Oral, every_days: 1 },
    Drug { rxnorm: "2551", name: "ciprofloxacin", group: Group::Antibiotic, dose: 500, unit: "mg", route: Route::Oral, every_days: 1 },
    Drug { rxnorm: "4511", name: "folic acid", group: Group::Supplement, dose: 1, unit: "mg", route: Route::Oral, every_days: 1 },
];

/// Which inflammatory bowel disease.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Disease {
    Crohn,
    Colitis,
    Unclassified,
}

impl Disease {
    /// ICD-10-CM codes of the disease, by weight.
    pub(super) fn icd10(self) -> &'static [(u64, (&'static str, &'static str))] {
        match self {
            Self::Crohn => &[
                (3, ("K50.00", "Crohn's disease of small intestine without complications")),
                (2, ("K50.10", "Crohn's disease of large intestine without complications")),
                (
                    4,
                    ("K50.80", "Crohn's disease of both small and large intestine without complications"),
                ),
                (1, ("K50.012", "Crohn's disease of small intestine with intestinal obstruction")),
                (1, ("K50.813", "Crohn's disease of both small and large intestine with fistula")),
                (2, ("K50.90", "Crohn's disease, unspecified, without complications")),
            ],
            Self::Colitis => &[
                (4, ("K51.00", "Ulcerative (chronic) pancolitis without complications")),
                (1, ("K51.20", "Ulcerative (chronic) proctitis without complications")),
                (2, ("K51.50", "Left sided colitis without complications")),
                (1, ("K51.911", "Ulcerative colitis, unspecified with rectal bleeding")),
                (2, ("K51.90", "Ulcerative colitis, unspecified, without complications")),
            ],
            Self::Unclassified => &[(1, ("K52.3", "Indeterminate colitis"))],
        }
    }

    /// SNOMED CT code and name.
    pub(super) fn snomed(self) -> (&'static str, &'static str) {
        match self {
            Self::Crohn => ("34000006", "Crohn's disease"),
            Self::Colitis => ("64766004", "Ulcerative colitis"),
            Self::Unclassified => ("24526004", "Inflammatory bowel disease"),
        }
    }
}

/// CVX code, vaccine, and the age in years from which it is given.
pub(super) const VACCINES: &[(&str, &str, i64)] = &[
    ("08", "Hep B, adolescent or pediatric", 0),
    ("03", "MMR", 1),
    ("21", "varicella", 1),
    ("133", "Pneumococcal conjugate PCV 13", 1),
    ("150", "influenza, injectable, quadrivalent, preservative free", 1),
    ("33", "pneumococcal polysaccharide PPV23", 2),
    ("115", "Tdap", 11),
    ("114", "meningococcal MCV4P", 11),
    ("165", "HPV9", 11),
];

/// The network's code systems of the answers behind a score, of the Paris classification, of growth, endoscopic scores,
/// patient-reported outcomes and metaboliser status; and where its questionnaires are.
pub(super) const ANSWER: &str = "https://headwater.example/fhir/CodeSystem/ibd-activity-answer";
pub(super) const PARIS: &str = "https://headwater.example/fhir/CodeSystem/ibd-paris";
pub(super) const PARIS_CLASS: &str = "https://headwater.example/fhir/CodeSystem/paris";
pub(super) const GROWTH: &str = "https://headwater.example/fhir/CodeSystem/ibd-growth";
pub(super) const GROWTH_CATEGORY: &str = "https://headwater.example/fhir/CodeSystem/growth-category";
pub(super) const ENDOSCOPY: &str = "https://headwater.example/fhir/CodeSystem/ibd-endoscopy";
pub(super) const REPORTED: &str = "https://headwater.example/fhir/CodeSystem/ibd-pro";
pub(super) const METABOLISER: &str = "https://headwater.example/fhir/CodeSystem/ibd-pgx";
pub(super) const METABOLISER_STATUS: &str = "https://headwater.example/fhir/CodeSystem/pgx-phenotype";
pub(super) const QUESTIONNAIRE: &str = "https://headwater.example/fhir/Questionnaire/";

/// SNOMED CT code and name.
pub(super) const EVENTS: &[(&str, &str)] = &[("271807003", "Eruption of skin"), ("422587007", "Nausea"), ("25064002", "Headache")];

/// SNOMED CT code and name.
pub(super) const ALLERGIES: &[(&str, &str)] = &[
    ("91936005", "Allergy to penicillin"),
    ("91935009", "Allergy to peanut"),
    ("294505008", "Allergy to amoxicillin"),
];
