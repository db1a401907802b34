//! What few accounts have at any time: it takes a pointer's room while it is as it
//! was at first. There may be very many accounts.

use std::ops::{Deref, DerefMut};

/// Something that has a value which it nearly always has.
pub trait Usual: Default + PartialEq + 'static {
    /// That value.
    fn usual() -> &'static Self;
}

/// A value in a box, or the usual one in none.
#[derive(Debug, Default)]
pub struct Rare<T>(Option<Box<T>>);

impl<T: Usual> Rare<T> {
    /// Gives the box back where it holds the usual value again.
    pub fn tidy(&mut self) {
        self.0.take_if(|boxed| **boxed == *T::usual());
    }
}

impl<T: Usual> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(boxed) => boxed,
            None => T::usual(),
        }
    }
}

impl<T: Usual> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

/// Says that a type's default is its usual value.
macro_rules! usually_default {
    ($($kind:ty),+) => {$(
        impl $crate::refresh::machine::rare::Usual for $kind {
            fn usual() -> &'static Self {
                static USUAL: std::sync::LazyLock<$kind> =
                    std::sync::LazyLock::new(<$kind>::default);
                &USUAL
            }
        }
    )+};
}
pub(super) use usually_default;

#[cfg(test)]
mod tests {
    use super::Rare;

    #[derive(Debug, Default, PartialEq)]
    struct Count(u32);
    usually_default!(Count);

    #[test]
    fn only_what_differs_is_kept_in_a_box() {
        let mut count = Rare::<Count>::default();
        assert_eq!(count.0, None);
        assert_eq!(*count, Count(0));
        let inner: &mut Count = &mut count;
        inner.0 = 2;
        count.tidy();
        assert_eq!(*count, Count(2));
        let inner: &mut Count = &mut count;
        inner.0 = 0;
        count.tidy();
        assert_eq!(count.0, None);
    }
}
