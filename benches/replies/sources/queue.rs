//! A queue of fixed size.

pub struct Ring {
    items: Vec<i64>,
    first: usize,
    len: usize,
}

impl Ring {
    pub fn new(size: usize) -> Self {
        Self { items: vec![0; size], first: 0, len: 0 }
    }

    pub fn push(&mut self, item: i64) -> bool {
        if self.len >= self.items.len() {
            return false;
        }
        let at = (self.first + self.len) % self.items.len();
        self.items[at] = item;
        self.len += 1;
        true
    }

    pub fn pop(&mut self) -> Option<i64> {
        if self.len == 0 {
            return None;
        }
        let item = self.items[self.first];
        self.first = (self.first + 1) % self.items.len();
        self.len -= 1;
        Some(item)
    }

    pub fn sum(&self) -> i64 {
        (0..self.len).map(|i| self.items[(self.first + i) % self.items.len()]).sum()
    }
}
