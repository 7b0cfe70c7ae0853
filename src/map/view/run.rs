//! Rows from one resource: nested loops, one per `select`, the innermost of which emits the row.

use std::cell::RefCell;

use crate::fhir::path::{Collection, Context, Element, End, Item, Path};
use crate::fhir::tree::Node;

use super::bound::Bound;
use super::focus::{At, Focus};
use super::look;
use super::row::{Asked, NO_SOURCE, Room, Row};
use super::taker::{Done, RowFault, Taker, fault_at, of_rows};
use super::{Columns, Each, Field, Part, Select, Source, View};

type Then<'r, 't, 'a> = &'r mut dyn FnMut(&mut Row<'t, 'a>) -> Done;

impl View {
    /// Calls `emit` with each row of `root`; not at all when the resource is of another type or a `where` says no.
    /// # Errors: an expression without an answer, more than one value for a column that is no collection.
    pub fn rows<'t, 'a>(&'t self, root: Node<'t, 'a>, emit: impl FnMut(&Row<'t, 'a>) -> Done) -> Done {
        self.rows_in(&mut Room::default(), root, emit)
    }

    /// The same, with room for a row that the caller keeps from resource to resource: each call is about another one.
    pub fn rows_in<'t, 'a>(&'t self, room: &mut Room, root: Node<'t, 'a>, mut emit: impl FnMut(&Row<'t, 'a>) -> Done) -> Done {
        room.next_resource();
        self.rows_for(room, root, &mut emit)
    }

    /// The same, for a taker that may say beforehand which rows it wants. Several views may be asked of one resource in one
    /// room: they share their conditions' answers and the steps they may take until `Room::next_resource`.
    pub fn rows_for<'t, 'a>(&'t self, room: &mut Room, root: Node<'t, 'a>, taker: &mut dyn Taker<'t, 'a>) -> Done {
        if root.resource_type() != Some(self.resource.as_str()) {
            return Ok(());
        }
        let resource = Element {
            node: Some(root),
            under: None,
            type_id: self.type_id,
        };
        let context = Context::of(resource, &self.constants);
        context.spend(room.steps, 0).map_err(of_rows)?;
        let mut row: Row<'t, 'a> = std::mem::take(&mut room.row);
        let done = self.rows_into(&context, root, room, &mut row, taker);
        room.row = row.emptied();
        room.steps = context.steps() as usize;
        done
    }

    fn rows_into<'t, 'a>(
        &'t self,
        context: &Context<'t, 'a>,
        root: Node<'t, 'a>,
        room: &mut Room,
        row: &mut Row<'t, 'a>,
        taker: &mut dyn Taker<'t, 'a>,
    ) -> Done {
        let Room { found, shared, .. } = room;
        found.clear();
        let at = At::Node(root, self.type_id);
        let run = Run {
            view: self,
            context,
            found: RefCell::new(found),
            taker: RefCell::new(taker),
        };
        for (number, condition) in self.wheres.iter().enumerate() {
            let known = condition.shared.and_then(|at| shared.get(at));
            let holds = match known {
                Some(holds) => holds,
                None => {
                    let holds = look::holds(context, &condition.path, &at);
                    let holds = holds.map_err(|fault| fault_at(format!("where[{number}]"), fault))?;
                    if let Some(at) = condition.shared {
                        shared.set(at, holds);
                    }
                    holds
                }
            };
            if !holds {
                return Ok(());
            }
        }
        let mut bound = Bound::new(self, root);
        run.select(&self.select, &Focus { at, index: 0 }, row, &mut |row| {
            bound.pay(row, context).map_err(of_rows)?;
            run.ready(row);
            run.taker.borrow_mut().take(row)
        })
    }
}

struct Run<'c, 't, 'a> {
    view: &'t View,
    context: &'c Context<'t, 'a>,
    /// Numbers of the nodes that the `forEach`s under way go through, the innermost last.
    found: RefCell<&'c mut Vec<u32>>,
    taker: RefCell<&'c mut dyn Taker<'t, 'a>>,
}

impl<'t, 'a> Run<'_, 't, 'a> {
    fn select(&self, select: &'t Select, focus: &Focus<'t, 'a>, row: &mut Row<'t, 'a>, then: Then<'_, 't, 'a>) -> Done {
        self.context.spend(1, 0).map_err(of_rows)?;
        let (path, word) = match &select.each {
            Each::Once => return self.parts(&select.parts, focus, row, then),
            Each::Items(path) => (path, "forEach"),
            Each::ItemsOrNull(path) => (path, "forEachOrNull"),
            Each::Repeat(paths) => return self.repeat(select, paths, focus, row, then),
        };
        self.context.row_index.set(focus.index);
        if let Some(done) = self.fast_each(path, select, focus, row, then) {
            return match done? {
                0 if word == "forEachOrNull" => self.nothing(select, row, then),
                _ => Ok(()),
            };
        }
        let found = path
            .evaluate(self.context, focus.at.item())
            .map_err(|fault| fault_at(self.word(select, word), fault))?;
        if found.is_empty() && word == "forEachOrNull" {
            return self.nothing(select, row, then);
        }
        for (item, index) in found.into_iter().zip(0..) {
            let at = At::Item(item);
            self.item(&select.parts, &Focus { at, index }, row, then)?;
        }
        Ok(())
    }

    /// One item that a `select` goes through: a step, whether a row comes of it or not.
    fn item(&self, parts: &'t [Part], focus: &Focus<'t, 'a>, row: &mut Row<'t, 'a>, then: Then<'_, 't, 'a>) -> Done {
        self.context.spend(1, 0).map_err(of_rows)?;
        self.parts(parts, focus, row, then)
    }

    /// The straight way over complex elements: how many there were; `None` when the path has no straight way.
    fn fast_each(
        &self,
        path: &'t Path,
        select: &'t Select,
        focus: &Focus<'t, 'a>,
        row: &mut Row<'t, 'a>,
        then: Then<'_, 't, 'a>,
    ) -> Option<Result<i64, RowFault>> {
        let way = path.fast()?.way().filter(|way| way.end == End::Value)?;
        let [type_id] = *path.typing().as_deref()? else { return None };
        let node = focus.at.node()?;
        if type_id.primitive().is_some() {
            return None;
        }
        // No row may leave before it is known that the way can be gone to its end.
        let start = self.found.borrow().len();
        let walked = way.walk(node, self.context.given(), &mut |node| {
            self.found.borrow_mut().push(node.index());
            Ok(true)
        });
        let end = self.found.borrow().len();
        let mut done = Ok(());
        let mut index = 0;
        for place in start..end {
            if walked.is_err() || done.is_err() {
                break;
            }
            let found = self.found.borrow()[place];
            let at = At::Node(node.numbered(found), Some(type_id));
            done = self.item(&select.parts, &Focus { at, index }, row, then);
            index += 1;
        }
        self.found.borrow_mut().truncate(start);
        walked.ok()?;
        Some(done.map(|()| index))
    }

    /// Gives the row its width, where a resource begins with an empty one.
    #[inline]
    fn ready(&self, row: &mut Row<'t, 'a>) {
        let width = self.view.columns.len();
        if row.fields.len() != width {
            row.fields.resize(width, Field::Null);
            row.by.resize(width, NO_SOURCE);
            // The room may come from a view of another width, with codings where this one has none.
            let extended = if self.view.extended { width } else { 0 };
            row.codings.resize(extended, Field::Null);
            row.asides.resize(extended, Field::Null);
        }
    }

    /// One row of nothing, for `forEachOrNull`. `%rowIndex` is 0 there, the rest null.
    fn nothing(&self, select: &'t Select, row: &mut Row<'t, 'a>, then: Then<'_, 't, 'a>) -> Done {
        self.context.spend(1 + select.columns.len() / 4, 0).map_err(of_rows)?;
        self.ready(row);
        for column in select.columns.clone() {
            row.fields[column] = Field::Null;
            row.by[column] = NO_SOURCE;
            if self.view.extended {
                row.codings[column] = Field::Null;
                row.asides[column] = Field::Null;
            }
        }
        self.row_indexes(select, row)?;
        then(row)
    }

    /// Columns that ask for `%rowIndex` alone have an answer even without an element.
    fn row_indexes(&self, select: &'t Select, row: &mut Row<'t, 'a>) -> Done {
        self.context.row_index.set(0);
        for part in &select.parts {
            let Part::Columns(Columns { sources, .. }) = part else { continue };
            for (place, source) in self.view.sources.iter().enumerate().take(sources.end).skip(sources.start) {
                if source.path.is_row_index() {
                    self.column(
                        place,
                        source,
                        &Focus {
                            at: At::Item(Item::Boolean(false)),
                            index: 0,
                        },
                        row,
                    )?;
                }
            }
        }
        Ok(())
    }

    fn repeat(&self, select: &'t Select, paths: &'t [Path], focus: &Focus<'t, 'a>, row: &mut Row<'t, 'a>, then: Then<'_, 't, 'a>) -> Done {
        // Pre-order, the focus itself left out. A stack of our own: how deep a resource nests is its author's choice.
        let mut stack = self.below(select, paths, &focus.at.item())?;
        let mut index = 0;
        while let Some(item) = stack.pop() {
            let below = self.below(select, paths, &item)?;
            let at = At::Item(item);
            self.item(&select.parts, &Focus { at, index }, row, then)?;
            stack.extend(below);
            index += 1;
        }
        Ok(())
    }

    /// What the paths give from `item`, last first.
    fn below(&self, select: &'t Select, paths: &'t [Path], item: &Item<'t, 'a>) -> Result<Vec<Item<'t, 'a>>, RowFault> {
        let mut all = Collection::None;
        for path in paths {
            let found = path
                .evaluate(self.context, item.clone())
                .map_err(|fault| fault_at(self.word(select, "repeat"), fault))?;
            self.context.spend(found.len(), 0).map_err(of_rows)?;
            all.append(found);
        }
        let mut items: Vec<_> = all.into_iter().collect();
        items.reverse();
        Ok(items)
    }

    fn word(&self, select: &Select, word: &str) -> String {
        match self.view.columns.get(select.columns.start) {
            Some(column) => format!("{word} of {}", column.name),
            None => word.to_owned(),
        }
    }

    fn parts(&self, parts: &'t [Part], focus: &Focus<'t, 'a>, row: &mut Row<'t, 'a>, then: Then<'_, 't, 'a>) -> Done {
        let Some((part, rest)) = parts.split_first() else {
            return then(row);
        };
        match part {
            Part::Columns(columns) => match self.columns(columns, focus, row)? {
                true => self.parts(rest, focus, row, then),
                false => Ok(()),
            },
            Part::Select(select) if rest.is_empty() => self.select(select, focus, row, then),
            Part::Select(select) => self.select(select, focus, row, &mut |row| self.parts(rest, focus, row, then)),
            Part::Union(branches) => {
                for branch in branches {
                    self.select(branch, focus, row, &mut |row| self.parts(rest, focus, row, then))?;
                }
                Ok(())
            }
        }
    }

    /// `false`: the row is not wanted.
    fn columns(&self, columns: &'t Columns, focus: &Focus<'t, 'a>, row: &mut Row<'t, 'a>) -> Result<bool, RowFault> {
        self.context.row_index.set(focus.index);
        self.context.spend(1 + columns.sources.len() / 2, 0).map_err(of_rows)?;
        let sources = &self.view.sources;
        if let Some(gate) = columns.gate {
            let source = &sources[gate];
            let mut look = || self.look(source, focus);
            if !self.taker.borrow_mut().wants(gate, &mut look)? {
                return Ok(false);
            }
            self.ready(row);
            row.by[source.column] = u16::try_from(gate).unwrap_or(NO_SOURCE);
        }
        self.ready(row);
        if let (Some(merged), Some(node)) = (&columns.merged, focus.at.node())
            && merged.fill(node, row, self.context.given()).is_ok()
        {
            for &place in &merged.singly {
                if columns.gate != Some(place) {
                    self.column(place, &sources[place], focus, row)?;
                }
            }
            return Ok(true);
        }
        for place in columns.sources.clone() {
            if columns.gate != Some(place) {
                self.column(place, &sources[place], focus, row)?;
            }
        }
        Ok(true)
    }

    /// What the paths of one source give.
    fn look(&self, source: &'t Source, focus: &Focus<'t, 'a>) -> Result<Asked<'t, 'a>, RowFault> {
        let column = &self.view.columns[source.column];
        let fault = |fault| fault_at(column.name.clone(), fault);
        let extra = |path: &'t Option<Path>| match path {
            Some(path) => look::elements(self.context, path, &focus.at),
            None => Ok(Field::Null),
        };
        Ok(Asked {
            own: look::one(self.context, &source.path, &focus.at).map_err(fault)?,
            codings: extra(&source.coding).map_err(fault)?,
            references: extra(&source.aside).map_err(fault)?,
        })
    }

    fn column(&self, place: usize, source: &'t Source, focus: &Focus<'t, 'a>, row: &mut Row<'t, 'a>) -> Done {
        let column = &self.view.columns[source.column];
        row.fields[source.column] = match source.same {
            Some(earlier) => row.fields[earlier].clone(),
            None => {
                let field = if column.collection {
                    look::list(self.context, &source.path, &focus.at)
                } else {
                    look::one(self.context, &source.path, &focus.at)
                };
                field.map_err(|fault| fault_at(column.name.clone(), fault))?
            }
        };
        row.by[source.column] = u16::try_from(place).unwrap_or(NO_SOURCE);
        if source.extended {
            let extra = |path: &'t Option<Path>| match path {
                Some(path) => look::elements(self.context, path, &focus.at).map_err(|fault| fault_at(column.name.clone(), fault)),
                None => Ok(Field::Null),
            };
            row.codings[source.column] = extra(&source.coding)?;
            row.asides[source.column] = extra(&source.aside)?;
        }
        Ok(())
    }
}
