//! The fixed tables' common half: which entries are free, which connection is where, and which is due first.
//!
//! An [`Index`] knows entry numbers only. Each of its entries carries, side by side, a bucket of the hash table, a link of the chains
//! and of the free list, and a place in the heap of deadlines. No operation looks at all entries.

use crate::time::Millis;

/// No entry.
const NONE: u16 = u16::MAX;

/// One element of each of the four structures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Bucket: the first entry of its chain.
    bucket: u16,
    /// The next entry in the chain, or in the free list.
    next: u16,
    /// Heap: the deadline at this place ...
    at: Millis,
    /// ... and the entry it belongs to.
    owner: u16,
    /// The entry's place in the heap.
    place: u16,
}

impl Entry {
    /// For storage that costs no flash; [`Index::new`] makes it an empty table.
    pub(crate) const ZERO: Entry = Entry { bucket: 0, next: 0, at: Millis(0), owner: 0, place: 0 };

    const EMPTY: Entry = Entry { bucket: NONE, next: NONE, at: Millis(0), owner: NONE, place: NONE };
}

pub(crate) struct Index<'s> {
    entries: &'s mut [Entry],
    free: u16,
    used: u16,
    armed: u16,
}

impl<'s> Index<'s> {
    pub(crate) fn new(entries: &'s mut [Entry]) -> Index<'s> {
        let count = entries.len() as u16;
        for (i, entry) in entries.iter_mut().enumerate() {
            let next = i as u16 + 1;
            *entry = Entry { next: if next < count { next } else { NONE }, ..Entry::EMPTY };
        }
        Index { entries, free: if count > 0 { 0 } else { NONE }, used: 0, armed: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.used)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.free != NONE
    }

    pub(crate) fn allocate(&mut self) -> Option<u16> {
        let id = self.free;
        let entry = self.entries.get_mut(usize::from(id))?;
        self.free = entry.next;
        entry.next = NONE;
        self.used += 1;
        Some(id)
    }

    /// Frees an entry that is in no chain.
    pub(crate) fn release(&mut self, id: u16) {
        self.disarm(id);
        self.entries[usize::from(id)].next = self.free;
        self.free = id;
        self.used -= 1;
    }

    /// Makes the entry findable under `hash`.
    pub(crate) fn insert(&mut self, id: u16, hash: u32) {
        let bucket = self.bucket(hash);
        self.entries[usize::from(id)].next = self.entries[bucket].bucket;
        self.entries[bucket].bucket = id;
    }

    /// Takes the entry out of its chain, if it is there.
    pub(crate) fn remove(&mut self, id: u16, hash: u32) {
        let bucket = self.bucket(hash);
        let next = self.entries[usize::from(id)].next;
        let mut at = self.entries[bucket].bucket;
        if at == id {
            self.entries[bucket].bucket = next;
        }
        while let Some(entry) = self.entries.get_mut(usize::from(at)) {
            if entry.next == id {
                entry.next = next;
                break;
            }
            at = entry.next;
        }
        self.entries[usize::from(id)].next = NONE;
    }

    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(usize) -> bool) -> Option<u16> {
        if self.entries.is_empty() {
            return None;
        }
        let mut at = self.entries[self.bucket(hash)].bucket;
        while let Some(entry) = self.entries.get(usize::from(at)) {
            if is_it(usize::from(at)) {
                return Some(at);
            }
            at = entry.next;
        }
        None
    }

    /// The earliest deadline.
    pub(crate) fn first_due(&self) -> Option<(u16, Millis)> {
        let root = self.entries.first()?;
        (self.armed > 0).then_some((root.owner, root.at))
    }

    /// The entry's deadline.
    pub(crate) fn deadline_of(&self, id: u16) -> Option<Millis> {
        let place = self.entries[usize::from(id)].place;
        (place != NONE).then(|| self.entries[usize::from(place)].at)
    }

    /// Sees that the entry is due at `at` or earlier: cheap where an earlier deadline is only moved out, which is found out when it
    /// comes.
    pub(crate) fn arm_by(&mut self, id: u16, at: Millis) {
        let place = self.entries[usize::from(id)].place;
        if place == NONE || at.is_before(self.entries[usize::from(place)].at) {
            self.arm(id, at);
        }
    }

    /// Sets the entry's deadline.
    pub(crate) fn arm(&mut self, id: u16, at: Millis) {
        let mut place = self.entries[usize::from(id)].place;
        if place == NONE {
            place = self.armed;
            self.armed += 1;
        }
        self.put(place, id, at);
        self.sift(place);
    }

    pub(crate) fn disarm(&mut self, id: u16) {
        let place = self.entries[usize::from(id)].place;
        if place == NONE {
            return;
        }
        self.entries[usize::from(id)].place = NONE;
        self.armed -= 1;
        if place < self.armed {
            let last = self.entries[usize::from(self.armed)];
            self.put(place, last.owner, last.at);
            self.sift(place);
        }
    }

    fn bucket(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.entries.len() as u64) >> 32) as usize
    }

    fn put(&mut self, place: u16, owner: u16, at: Millis) {
        let entry = &mut self.entries[usize::from(place)];
        entry.owner = owner;
        entry.at = at;
        self.entries[usize::from(owner)].place = place;
    }

    fn sift(&mut self, place: u16) {
        let place = self.sift_up(place);
        self.sift_down(place);
    }

    fn sift_up(&mut self, mut place: u16) -> u16 {
        while place > 0 {
            let parent = (place - 1) / 2;
            if !self.is_before(place, parent) {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
        place
    }

    fn sift_down(&mut self, mut place: u16) {
        loop {
            let mut least = place;
            for child in [2 * u32::from(place) + 1, 2 * u32::from(place) + 2] {
                if child < u32::from(self.armed) && self.is_before(child as u16, least) {
                    least = child as u16;
                }
            }
            if least == place {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn is_before(&self, a: u16, b: u16) -> bool {
        self.entries[usize::from(a)].at.is_before(self.entries[usize::from(b)].at)
    }

    fn swap(&mut self, a: u16, b: u16) {
        let (x, y) = (self.entries[usize::from(a)], self.entries[usize::from(b)]);
        self.put(a, y.owner, y.at);
        self.put(b, x.owner, x.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Allocate(u32),
        Release(usize),
        Arm(usize, u32),
        ArmBy(usize, u32),
        Disarm(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            any::<u32>().prop_map(Op::Allocate),
            any::<usize>().prop_map(Op::Release),
            (any::<usize>(), 0..1_000_u32).prop_map(|(i, at)| Op::Arm(i, at)),
            (any::<usize>(), 0..1_000_u32).prop_map(|(i, at)| Op::ArmBy(i, at)),
            any::<usize>().prop_map(Op::Disarm),
        ]
    }

    proptest! {
        /// Against a plain list of (entry, hash, deadline).
        #[test]
        fn index_agrees_with_a_list(ops in prop::collection::vec(op(), 1..200), size in 1_usize..9) {
            let mut entries = [Entry::EMPTY; 8];
            let size = size.min(8);
            let mut index = Index::new(&mut entries[..size]);
            let mut model: std::vec::Vec<(u16, u32, Option<u32>)> = std::vec::Vec::new();
            let base = 0xffff_fe00_u32; // deadlines wrap
            for op in ops {
                match op {
                    Op::Allocate(hash) => match index.allocate() {
                        Some(id) => {
                            index.insert(id, hash);
                            model.push((id, hash, None));
                        }
                        None => prop_assert_eq!(model.len(), size),
                    },
                    Op::Release(i) if !model.is_empty() => {
                        let (id, hash, _) = model.swap_remove(i % model.len());
                        index.remove(id, hash);
                        index.release(id);
                    }
                    Op::Arm(i, at) if !model.is_empty() => {
                        let i = i % model.len();
                        index.arm(model[i].0, Millis(base.wrapping_add(at)));
                        model[i].2 = Some(at);
                    }
                    Op::ArmBy(i, at) if !model.is_empty() => {
                        let i = i % model.len();
                        index.arm_by(model[i].0, Millis(base.wrapping_add(at)));
                        model[i].2 = Some(model[i].2.map_or(at, |had| had.min(at)));
                    }
                    Op::Disarm(i) if !model.is_empty() => {
                        let i = i % model.len();
                        index.disarm(model[i].0);
                        model[i].2 = None;
                    }
                    Op::Release(_) | Op::Arm(..) | Op::ArmBy(..) | Op::Disarm(_) => {}
                }
                prop_assert_eq!(index.len(), model.len());
                for &(id, hash, _) in &model {
                    prop_assert_eq!(index.find(hash, |i| i == usize::from(id)), Some(id));
                }
                let first = model.iter().filter_map(|m| m.2).min();
                prop_assert_eq!(index.first_due().map(|(_, at)| at.0.wrapping_sub(base)), first);
            }
        }
    }
}
