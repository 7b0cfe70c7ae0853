//! ViewDefinition file to `View`: shape, names, constants, expressions, and the rules on columns. All faults at once.

use crate::fhir::path::{Canonicals, Names, Path, Start, Typing};
use crate::fhir::tree::{Kind, Node, Tree};
use crate::fhir::types::TypeId;

use super::super::fault::MappingFault;
use super::super::file::{Faults, items, member, read, text};
use super::constant::is_name;
use super::limits::{MAX_COLUMNS, MAX_LIST, MAX_MAKING, MAX_OPEN, MAX_SELECTS, MAX_SOURCES, MAX_WHERES, MAX_WORDS, open};
use super::merge::Merged;
use super::{Column, Columns, Condition, Each, Part, Reading, Select, Source, Tag, View, bound};

pub(super) fn compile(source: &str, file: &str, reading: Reading, canonicals: Option<&Canonicals>) -> Result<View, Vec<MappingFault>> {
    let mut faults = Faults::new(file, source);
    let mut tree = Tree::new();
    let root = match read(&mut tree, source) {
        Ok(root) => root,
        Err(error) => {
            faults.syntax(error);
            return Err(faults.all);
        }
    };
    let view = Compiler {
        faults: &mut faults,
        reading,
        canonicals,
        constants: Vec::new(),
        columns: Vec::new(),
        sources: Vec::new(),
        within: String::new(),
        resource: None,
        selects: 0,
        making: 0,
    }
    .view(root);
    match view {
        Some(view) if faults.all.is_empty() => Ok(view),
        _ => Err(faults.all),
    }
}

pub(super) struct Compiler<'c, 'f> {
    pub(super) faults: &'c mut Faults<'f>,
    reading: Reading,
    canonicals: Option<&'c Canonicals>,
    pub(super) constants: Vec<String>,
    pub(super) columns: Vec<Column>,
    sources: Vec<Source>,
    /// The `forEach`s around what is read now, each followed by a point.
    within: String,
    resource: Typing,
    /// How many there were so far.
    selects: usize,
    /// What the patterns so far cost to make.
    making: usize,
}

impl Compiler<'_, '_> {
    fn view(mut self, root: Node<'_, '_>) -> Option<View> {
        if root.kind() != Kind::Object {
            self.faults.at(0, "is no ViewDefinition: an object was expected");
            return None;
        }
        if let Some(other) = text(root, "resourceType").filter(|name| name.rsplit('/').next() != Some("ViewDefinition")) {
            self.faults.at(0, format!("is no ViewDefinition but `{other}`"));
        }
        let resource = text(root, "resource").unwrap_or_else(|| {
            self.faults
                .at(root.offset(), "`resource` is missing: the type of resource the view reads");
            String::new()
        });
        let type_id = TypeId::of(&resource);
        if self.reading == Reading::Mapping && !resource.is_empty() && type_id.is_none_or(|type_id| !type_id.is_resource()) {
            let at = member(root, "resource").map_or(0, Node::offset);
            self.faults.at(at, format!("`{resource}` is no resource type of FHIR R4"));
        }
        self.resource = type_id.map(|type_id| vec![type_id]);
        let constants = self.constants(root);
        let focus = self.resource.clone();
        let mut wheres = Vec::new();
        for (number, condition) in items(root, "where").enumerate() {
            if number == MAX_WHERES {
                self.faults
                    .at(condition.offset(), format!("the view has more than {MAX_WHERES} conditions"));
                break;
            }
            match member(condition, "path") {
                Some(path) => wheres.extend(self.path(path, &focus, true).map(|compiled| Condition {
                    path: compiled,
                    text: path.text().into_owned(),
                    shared: None,
                })),
                None => self.faults.at(condition.offset(), "`where` needs a `path`"),
            }
        }
        let select = self.selects(root, &focus);
        if select.as_ref().is_some_and(|select| open(select) > MAX_OPEN) {
            self.faults.at(
                root.offset(),
                format!("a row goes through more than {MAX_OPEN} `select`s, in one another or side by side"),
            );
        }
        let more = |source: &&Source| source.coding.is_some() || source.aside.is_some();
        let extended: Vec<usize> = self.sources.iter().filter(more).map(|source| source.column).collect();
        for source in &mut self.sources {
            source.extended = extended.contains(&source.column);
        }
        Some(View {
            name: text(root, "name").unwrap_or_default(),
            resource,
            type_id,
            constants,
            wheres,
            extended: !extended.is_empty(),
            row_steps: bound::row_steps(self.columns.iter().map(|column| column.name.as_str())),
            columns: self.columns,
            sources: self.sources,
            select: select?,
        })
    }

    fn selects(&mut self, root: Node<'_, '_>, focus: &Typing) -> Option<Select> {
        let mut parts = Vec::new();
        for select in items(root, "select") {
            parts.extend(self.select(select, focus).map(|select| Part::Select(Box::new(select))));
        }
        if parts.is_empty() && self.faults.all.is_empty() {
            self.faults.at(root.offset(), "`select` is missing or empty");
        }
        Some(Select {
            each: Each::Once,
            parts,
            columns: 0..self.columns.len(),
        })
    }

    fn path(&mut self, node: Node<'_, '_>, focus: &Typing, strict: bool) -> Option<Path> {
        if node.kind() != Kind::String {
            self.faults
                .at(node.offset(), "a FHIRPath expression was expected here, as a string");
            return None;
        }
        if self.faults.is_full() {
            return None;
        }
        let names = Names {
            constants: &self.constants,
            pure: true,
            canonicals: self.canonicals,
        };
        let start = Start {
            focus: focus.clone(),
            resource: self.resource.clone(),
            strict: strict && self.reading == Reading::Mapping,
        };
        match Path::compile(&node.text(), &names, &start) {
            Ok(path) => {
                self.making += path.making();
                if self.making > MAX_MAKING {
                    self.faults
                        .at(node.offset(), "the patterns of the view are too many or too large together");
                    return None;
                }
                Some(path)
            }
            Err(error) => {
                self.faults.path(node, &error);
                None
            }
        }
    }

    pub(super) fn select(&mut self, node: Node<'_, '_>, focus: &Typing) -> Option<Select> {
        if node.kind() != Kind::Object {
            self.faults.at(node.offset(), "a `select` must be an object");
            return None;
        }
        self.selects += 1;
        if self.selects > MAX_SELECTS {
            self.faults
                .at(node.offset(), format!("the view has more than {MAX_SELECTS} `select`s"));
            return None;
        }
        let ways = ["forEach", "forEachOrNull", "repeat"].map(|way| member(node, way));
        if ways.iter().flatten().count() > 1 {
            self.faults.at(
                node.offset(),
                "only one of `forEach`, `forEachOrNull` and `repeat` can stand in a `select`",
            );
        }
        let outside = self.within.len();
        for way in ways.iter().flatten() {
            self.within.push_str(&way.text());
            self.within.push('.');
        }
        if self.within.len() > MAX_WORDS {
            self.faults.at(
                node.offset(),
                format!("the `forEach`s around this are longer than {MAX_WORDS} bytes together"),
            );
            self.within.truncate(outside);
            return None;
        }
        let first = self.columns.len();
        let (each, inner) = match ways {
            [Some(path), ..] => {
                let path = self.path(path, focus, true);
                let inner = path.as_ref().and_then(|path| path.typing().clone());
                (path.map(Each::Items), inner)
            }
            [_, Some(path), _] => {
                let path = self.path(path, focus, true);
                let inner = path.as_ref().and_then(|path| path.typing().clone());
                (path.map(Each::ItemsOrNull), inner)
            }
            [_, _, Some(repeat)] => self.repeat(repeat, focus),
            _ => (Some(Each::Once), focus.clone()),
        };
        let mut parts = Vec::new();
        let start = self.sources.len();
        for column in items(node, "column") {
            self.column(column, &inner);
        }
        if self.sources.len() > start {
            let collection = |column: usize| self.columns.get(column).is_some_and(|column| column.collection);
            for place in start..self.sources.len() {
                let (before, own) = (&self.sources[start..place], &self.sources[place]);
                let same = |other: &&Source| other.text == own.text && collection(other.column) == collection(own.column);
                self.sources[place].same = before.iter().find(same).map(|other| other.column);
            }
            parts.push(Part::Columns(Columns {
                sources: start..self.sources.len(),
                merged: Merged::of(&self.sources[start..], start, collection),
                gate: None,
            }));
        }
        for select in items(node, "select") {
            parts.extend(self.select(select, &inner).map(|select| Part::Select(Box::new(select))));
        }
        if let Some(union) = member(node, "unionAll") {
            parts.extend(self.union(union, &inner));
        }
        self.within.truncate(outside);
        for name in ["column", "select", "unionAll"] {
            if let Some(wrong) = member(node, name).filter(|list| list.kind() != Kind::Array) {
                self.faults.at(wrong.offset(), format!("`{name}` must be a list"));
            }
        }
        Some(Select {
            each: each?,
            parts,
            columns: first..self.columns.len(),
        })
    }

    fn repeat(&mut self, node: Node<'_, '_>, focus: &Typing) -> (Option<Each>, Typing) {
        if node.kind() != Kind::Array || node.children().next().is_none() {
            self.faults.at(node.offset(), "`repeat` must be a list of FHIRPath expressions");
            return (None, None);
        }
        if node.children().count() > MAX_LIST {
            self.faults.at(node.offset(), format!("`repeat` has more than {MAX_LIST} paths"));
            return (None, None);
        }
        // The paths are asked of the focus and of all they give, so no one type tells what is misspelt.
        let paths: Vec<Path> = node.children().filter_map(|path| self.path(path, &None, false)).collect();
        let mut known = Vec::new();
        let mut todo = focus.clone().unwrap_or_default();
        for _ in 0..4 {
            let mut next = Vec::new();
            for path in node.children() {
                let found = self.quiet_typing(path, &Some(todo.clone()));
                next.extend(found.unwrap_or_default().into_iter().filter(|type_id| !known.contains(type_id)));
            }
            if next.is_empty() {
                let inner = (!known.is_empty()).then_some(known);
                return (Some(Each::Repeat(paths)), inner);
            }
            known.extend(next.iter().copied());
            known.dedup();
            todo = next;
        }
        (Some(Each::Repeat(paths)), None)
    }

    fn quiet_typing(&self, node: Node<'_, '_>, focus: &Typing) -> Typing {
        let names = Names {
            constants: &self.constants,
            pure: true,
            canonicals: self.canonicals,
        };
        let start = Start {
            focus: focus.clone(),
            resource: self.resource.clone(),
            strict: false,
        };
        Path::compile(&node.text(), &names, &start).ok()?.typing().clone()
    }

    fn column(&mut self, node: Node<'_, '_>, focus: &Typing) {
        if self.columns.len() >= MAX_COLUMNS || self.sources.len() >= MAX_SOURCES {
            self.faults
                .at(node.offset(), format!("the view has more than {MAX_COLUMNS} columns"));
            return;
        }
        let Some(name) = text(node, "name").filter(|name| is_name(name)) else {
            self.faults.at(
                node.offset(),
                "a column needs a `name` of letters, digits and `_`, beginning with a letter",
            );
            return;
        };
        if self.columns.iter().any(|column| column.name == name) {
            self.faults.at(node.offset(), format!("column `{name}` is defined twice"));
            return;
        }
        let Some(path) = member(node, "path") else {
            self.faults.at(node.offset(), format!("column `{name}` needs a `path`"));
            return;
        };
        let collection = match member(node, "collection") {
            None => false,
            Some(flag) if flag.kind() == Kind::Boolean => flag.raw() == "true",
            Some(flag) => {
                self.faults.at(flag.offset(), "`collection` must be true or false");
                false
            }
        };
        let mut tags = Vec::new();
        for tag in items(node, "tag").chain(items(node, "tags")) {
            match (text(tag, "name"), text(tag, "value")) {
                (Some(_), Some(value)) if tags.len() >= MAX_LIST || value.len() > MAX_WORDS => {
                    let message = format!("column `{name}` has more than {MAX_LIST} tags, or one longer than {MAX_WORDS} bytes");
                    self.faults.at(tag.offset(), message);
                    break;
                }
                (Some(name), Some(value)) => tags.push(Tag {
                    name,
                    value,
                    offset: tag.offset(),
                }),
                _ => self.faults.at(tag.offset(), "a tag needs `name` and `value`, both strings"),
            }
        }
        let mut extra = |wanted: &str| {
            let tag = items(node, "tag")
                .chain(items(node, "tags"))
                .find(|tag| text(*tag, "name").is_some_and(|name| name == wanted))?;
            self.path(member(tag, "value")?, focus, true)
        };
        let (mut coding, mut aside) = (None, None);
        if self_reads_tags(&tags) {
            coding = extra("headwater/coding");
            aside = extra("headwater/reference").or_else(|| extra("headwater/quantity"));
        }
        if self.reading == Reading::Standard {
            (coding, aside) = (None, None);
        }
        let path_text = path.text().into_owned();
        let own_key = super::key::is_own(path_text.trim());
        let path = self.path(path, focus, true);
        // Even without its path the column keeps its place, so that later faults are about what is wrong.
        let column = self.columns.len();
        self.columns.push(Column {
            name,
            description: text(node, "description").unwrap_or_default(),
            collection,
        });
        if let Some(path) = path {
            self.sources.push(Source {
                column,
                tags,
                offset: node.offset(),
                within: self.within.clone(),
                own_key,
                path,
                same: None,
                text: path_text,
                coding,
                aside,
                extended: false,
            });
        }
    }
}

fn self_reads_tags(tags: &[Tag]) -> bool {
    tags.iter().any(|tag| tag.name.starts_with("headwater/"))
}
