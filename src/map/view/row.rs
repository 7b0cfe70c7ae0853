//! A row while it is filled, and the room for it that is kept from resource to resource.

use super::field::Field;

/// A row while it is filled, column by column.
#[derive(Debug, Default)]
pub struct Row<'t, 'a> {
    pub fields: Vec<Field<'t, 'a>>,
    /// Per column, the place in `View::sources` that filled it; `NO_SOURCE` when nothing did.
    pub by: Vec<u16>,
    /// Per column, what `headwater/coding` gave, and what `headwater/reference` or `headwater/quantity` did: nothing, one, or a list.
    /// Empty when no source has them.
    pub codings: Vec<Field<'t, 'a>>,
    pub asides: Vec<Field<'t, 'a>>,
}

/// What the paths of one source gave, before there is a row.
#[derive(Debug, Default)]
pub struct Asked<'t, 'a> {
    pub own: Field<'t, 'a>,
    pub codings: Field<'t, 'a>,
    pub references: Field<'t, 'a>,
}

impl Row<'_, '_> {
    /// Bytes of all its fields, more or less.
    pub(super) fn size(&self) -> usize {
        self.fields.iter().map(Field::size).sum()
    }

    /// No field, in the same room.
    #[inline]
    pub(super) fn emptied(mut self) -> Row<'static, 'static> {
        self.by.clear();
        Row {
            fields: emptied(self.fields),
            by: self.by,
            codings: emptied(self.codings),
            asides: emptied(self.asides),
        }
    }
}

/// Room for a row, kept from resource to resource.
#[derive(Debug, Default)]
pub struct Room {
    pub(super) row: Row<'static, 'static>,
    pub(super) found: Vec<u32>,
    pub(super) shared: Shared,
    /// Steps that the views of this resource took so far.
    pub(super) steps: usize,
}

impl Room {
    /// What the conditions gave was true of the resource before.
    pub fn next_resource(&mut self) {
        self.shared.answers.iter_mut().for_each(|answer| *answer = None);
        self.steps = 0;
    }

    /// Steps that the views of this resource took so far.
    pub fn steps(&self) -> usize {
        self.steps
    }
}

/// What conditions that several views ask of one resource gave.
#[derive(Debug, Default)]
pub(super) struct Shared {
    answers: Vec<Option<bool>>,
}

impl Shared {
    pub(super) fn get(&self, at: usize) -> Option<bool> {
        self.answers.get(at).copied().flatten()
    }

    pub(super) fn set(&mut self, at: usize, holds: bool) {
        if self.answers.len() <= at {
            self.answers.resize(at + 1, None);
        }
        self.answers[at] = Some(holds);
    }
}

/// No `column` filled this field: an empty `forEachOrNull`.
pub(super) const NO_SOURCE: u16 = u16::MAX;

/// Collected in place: the room stays, and nothing is allocated.
#[inline]
fn emptied(mut fields: Vec<Field<'_, '_>>) -> Vec<Field<'static, 'static>> {
    fields.clear();
    fields.into_iter().map(|_| Field::Null).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_row_keeps_its_room() {
        let row = Row {
            fields: vec![Field::Null; 20],
            by: vec![1; 20],
            ..Row::default()
        };
        let row = row.emptied();
        assert_eq!((row.fields.len(), row.by.len()), (0, 0));
        assert!(row.fields.capacity() >= 20 && row.by.capacity() >= 20);
    }
}
