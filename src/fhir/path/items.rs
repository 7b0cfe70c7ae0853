//! A collection of items. Most hold none or one, and those need no room on the heap.

use super::value::Item;

/// None, one, or many items; one is by far the most frequent and needs no room on the heap.
#[derive(Clone, Default)]
pub enum Collection<'t, 'a> {
    #[default]
    None,
    One(Item<'t, 'a>),
    Many(Vec<Item<'t, 'a>>),
}

impl<'t, 'a> Collection<'t, 'a> {
    pub fn push(&mut self, item: Item<'t, 'a>) {
        match self {
            Collection::None => *self = Collection::One(item),
            Collection::One(_) => {
                let Collection::One(first) = std::mem::take(self) else { return };
                *self = Collection::Many(vec![first, item]);
            }
            Collection::Many(items) => items.push(item),
        }
    }

    pub fn as_slice(&self) -> &[Item<'t, 'a>] {
        match self {
            Collection::None => &[],
            Collection::One(item) => std::slice::from_ref(item),
            Collection::Many(items) => items,
        }
    }

    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Steps that copying all items takes.
    pub(super) fn copied(&self) -> usize {
        self.as_slice().iter().map(|item| 1 + item.copied()).sum()
    }

    /// Steps that reading all texts takes.
    pub(super) fn weight(&self) -> usize {
        self.as_slice().iter().map(Item::weight).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    pub fn append(&mut self, other: Collection<'t, 'a>) {
        for item in other {
            self.push(item);
        }
    }
}

impl<'t, 'a> From<Option<Item<'t, 'a>>> for Collection<'t, 'a> {
    fn from(item: Option<Item<'t, 'a>>) -> Self {
        item.map_or(Collection::None, Collection::One)
    }
}

impl<'t, 'a> FromIterator<Item<'t, 'a>> for Collection<'t, 'a> {
    fn from_iter<I: IntoIterator<Item = Item<'t, 'a>>>(items: I) -> Self {
        let mut all = Collection::None;
        for item in items {
            all.push(item);
        }
        all
    }
}

impl<'t, 'a> IntoIterator for Collection<'t, 'a> {
    type Item = Item<'t, 'a>;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Item<'t, 'a>>, std::vec::IntoIter<Item<'t, 'a>>>;
    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self {
            Collection::None => (None, Vec::new()),
            Collection::One(item) => (Some(item), Vec::new()),
            Collection::Many(items) => (None, items),
        };
        one.into_iter().chain(many)
    }
}
