//! Suffix arrays by induced sorting (Nong, Zhang and Chan 2009, "Linear suffix array construction
//! by almost pure induced-sorting", SA-IS), in linear time.
//!
//! The end of the text counts as smaller than every symbol. Names of the reduced problem and the
//! reduced problem itself live in the suffix array, so that beside text and array there are only
//! one bit a symbol and one counter for each symbol of the alphabet; at the first level of
//! recursion the alphabet is at most half as large as the text.

/// A symbol of the text: a small whole number.
pub(super) trait Symbol: Copy + Ord {
    /// The symbol as an index below the size of the alphabet.
    fn index(self) -> usize;
}

impl Symbol for u16 {
    fn index(self) -> usize {
        usize::from(self)
    }
}

impl Symbol for u32 {
    fn index(self) -> usize {
        self as usize
    }
}

/// A place of the array that holds no suffix yet.
const EMPTY: u32 = u32::MAX;

/// The starts of all suffixes in lexicographic order. Symbols are below `alphabet`, and the text is
/// shorter than 2^32 - 1.
pub(super) fn suffix_array<T: Symbol>(text: &[T], alphabet: usize) -> Vec<u32> {
    let mut array = vec![EMPTY; text.len()];
    sort(text, alphabet, &mut array);
    array
}

fn sort<T: Symbol>(text: &[T], alphabet: usize, array: &mut [u32]) {
    if text.len() < 2 {
        array.fill(0);
        return;
    }
    let rising = Rising::of(text);
    let mut buckets = vec![0; alphabet];
    // Sort the substrings between valleys by induction from their first symbols.
    array.fill(EMPTY);
    ends(text, &mut buckets);
    for start in (1..text.len()).rev().filter(|&start| rising.valley(start)) {
        place_last(&mut buckets[text[start].index()], array, start);
    }
    induce(text, &rising, &mut buckets, array);
    drop(buckets);
    let mut count = 0;
    for slot in 0..array.len() {
        let start = array[slot];
        if rising.valley(start as usize) {
            array[count] = start;
            count += 1;
        }
    }
    let distinct = name(text, &rising, array, count);
    if distinct < count {
        reduce(text, &rising, array, count, distinct);
    }
    // Valleys are in order now: induce all others from them.
    array[count..].fill(EMPTY);
    let mut buckets = vec![0; alphabet];
    ends(text, &mut buckets);
    for slot in (0..count).rev() {
        let start = std::mem::replace(&mut array[slot], EMPTY) as usize;
        place_last(&mut buckets[text[start].index()], array, start);
    }
    induce(text, &rising, &mut buckets, array);
}

/// Names the sorted valley substrings in `array[..count]` by rank, equal ones alike, and leaves the
/// names in text order at the end of the array. Returns how many names there are.
fn name<T: Symbol>(text: &[T], rising: &Rising, array: &mut [u32], count: usize) -> usize {
    let (sorted, names) = array.split_at_mut(count);
    names.fill(EMPTY);
    let mut distinct = 0;
    let mut previous = None;
    for &start in &*sorted {
        let start = start as usize;
        if previous.is_none_or(|previous| !same(text, rising, previous, start)) {
            distinct += 1;
        }
        // Valleys are never neighbours, so that halves of their places do not collide.
        names[start / 2] = distinct - 1;
        previous = Some(start);
    }
    let mut end = names.len();
    for slot in (0..names.len()).rev() {
        if names[slot] != EMPTY {
            end -= 1;
            names[end] = names[slot];
        }
    }
    distinct as usize
}

/// Orders the valleys, where equal substrings left it open, by the suffixes of their names.
fn reduce<T: Symbol>(
    text: &[T],
    rising: &Rising,
    array: &mut [u32],
    count: usize,
    distinct: usize,
) {
    let split = array.len() - count;
    let (front, names) = array.split_at_mut(split);
    let order = &mut front[..count];
    sort(names, distinct, order);
    let valleys = (1..text.len()).filter(|&start| rising.valley(start));
    for (slot, start) in names.iter_mut().zip(valleys) {
        *slot = start as u32;
    }
    for slot in order {
        *slot = names[*slot as usize];
    }
}

/// Whether two valley substrings are equal.
fn same<T: Symbol>(text: &[T], rising: &Rising, a: usize, b: usize) -> bool {
    for offset in 0.. {
        let (a, b) = (a + offset, b + offset);
        // The end of the text equals nothing.
        let (Some(first), Some(second)) = (text.get(a), text.get(b)) else { return false };
        if first != second || rising.at(a) != rising.at(b) {
            return false;
        }
        if offset > 0 && rising.valley(a) {
            return true;
        }
    }
    false
}

/// Places all falling suffixes from the valleys, then all rising ones from the falling.
fn induce<T: Symbol>(text: &[T], rising: &Rising, buckets: &mut [u32], array: &mut [u32]) {
    starts(text, buckets);
    let last = text.len() - 1;
    place_first(&mut buckets[text[last].index()], array, last);
    for slot in 0..array.len() {
        if let Some(before) = before(array[slot])
            && !rising.at(before)
        {
            place_first(&mut buckets[text[before].index()], array, before);
        }
    }
    ends(text, buckets);
    for slot in (0..array.len()).rev() {
        if let Some(before) = before(array[slot])
            && rising.at(before)
        {
            place_last(&mut buckets[text[before].index()], array, before);
        }
    }
}

/// The suffix that starts one symbol earlier.
fn before(start: u32) -> Option<usize> {
    (start != EMPTY && start > 0).then(|| start as usize - 1)
}

fn place_first(bucket: &mut u32, array: &mut [u32], start: usize) {
    array[*bucket as usize] = start as u32;
    *bucket += 1;
}

fn place_last(bucket: &mut u32, array: &mut [u32], start: usize) {
    *bucket -= 1;
    array[*bucket as usize] = start as u32;
}

/// Where the suffixes that start with each symbol begin.
fn starts<T: Symbol>(text: &[T], buckets: &mut [u32]) {
    ends(text, buckets);
    let mut start = 0;
    for bucket in buckets {
        start = std::mem::replace(bucket, start);
    }
}

/// Where the suffixes that start with each symbol end.
fn ends<T: Symbol>(text: &[T], buckets: &mut [u32]) {
    buckets.fill(0);
    for symbol in text {
        buckets[symbol.index()] += 1;
    }
    let mut end = 0;
    for bucket in buckets {
        end += *bucket;
        *bucket = end;
    }
}

/// For each suffix whether it is smaller than the next (S-type), one bit each.
struct Rising(Vec<u64>);

impl Rising {
    fn of<T: Symbol>(text: &[T]) -> Self {
        let mut bits = vec![0; text.len().div_ceil(64)];
        // The last suffix is larger than the empty one after it.
        let mut rises = false;
        for (start, pair) in text.windows(2).enumerate().rev() {
            rises = pair[0] < pair[1] || (pair[0] == pair[1] && rises);
            bits[start / 64] |= u64::from(rises) << (start % 64);
        }
        Self(bits)
    }

    fn at(&self, start: usize) -> bool {
        self.0[start / 64] >> (start % 64) & 1 == 1
    }

    /// Whether the suffix rises after one that falls (leftmost S-type).
    fn valley(&self, start: usize) -> bool {
        start > 0 && self.at(start) && !self.at(start - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive<T: Symbol>(text: &[T]) -> Vec<u32> {
        let mut starts: Vec<u32> = (0..text.len() as u32).collect();
        starts.sort_by_key(|&start| &text[start as usize..]);
        starts
    }

    #[test]
    fn small_texts_of_two_symbols_are_sorted_without_exception() {
        for length in 0..=14 {
            for bits in 0_u32..1 << length {
                let text: Vec<u16> = (0..length).map(|place| (bits >> place & 1) as u16).collect();
                assert_eq!(suffix_array(&text, 2), naive(&text), "{text:?}");
            }
        }
    }

    #[test]
    fn texts_that_repeat_themselves_are_sorted() {
        // Fibonacci words need the deepest recursion; runs and periods the longest comparisons.
        let mut words = (vec![1_u32], vec![1, 0]);
        while words.1.len() < 5000 {
            let next = [&words.1[..], &words.0[..]].concat();
            words = (words.1, next);
        }
        let runs = vec![7_u32; 3000];
        let period: Vec<u32> = (0..3000).map(|place| place % 7).collect();
        for text in [words.1, runs, period] {
            assert_eq!(suffix_array(&text, 8), naive(&text));
        }
    }

    proptest! {
        #[test]
        fn suffixes_are_sorted_as_by_comparison(
            text in proptest::collection::vec(0_u32..6, 0..300), scale in 1_u32..40,
        ) {
            let scaled: Vec<u32> = text.iter().map(|symbol| symbol * scale).collect();
            prop_assert_eq!(suffix_array(&scaled, 6 * scale as usize), naive(&scaled));
        }
    }
}
