use ledger::streams::unit_f64;
use proptest::prelude::*;

use super::*;
use crate::models::mlp::mlp;
use crate::network::channels_last;
use crate::trial;

fn network() -> Network {
    mlp(&[3, 4, 2], &trial::streams(), Device::Cpu).unwrap()
}

/// Writes a value and reads it into a blank one.
fn again<T: Kept>(value: &mut T) -> T {
    let network = network();
    let mut state = State::writing(&network);
    state.of("value", value).unwrap();
    let bytes = state.finish().unwrap();
    let mut read = T::blank();
    let mut state = State::reading(&bytes, &network);
    state.of("value", &mut read).unwrap();
    state.finish().unwrap();
    read
}

type Values = (Vec<f64>, Option<(u32, Vec<u32>)>, BTreeMap<u64, String>);

proptest! {
    #[test]
    fn plain_values_come_back_as_they_were(
        numbers in proptest::collection::vec(any::<f64>(), 0..5),
        pass: Option<(u32, Vec<u32>)>,
        names: BTreeMap<u64, String>,
        bits: bool,
    ) {
        let (own, kept, named): Values = again(&mut (numbers.clone(), pass.clone(), names.clone()));
        prop_assert!(own.iter().map(|x| x.to_bits()).eq(numbers.iter().map(|x| x.to_bits())));
        prop_assert_eq!((kept, named), (pass, names));
        let mut row: VecDeque<_> = [(1_usize, bits), (2, !bits)].into();
        prop_assert_eq!(again(&mut row), row);
        prop_assert_eq!(again(&mut [7_i64, -7]), [7, -7]);
    }
}

#[test]
fn a_stream_and_a_digest_go_on_where_they_were() {
    let mut stream = trial::streams().generator("draws");
    for _ in 0..5 {
        unit_f64(&mut stream);
    }
    let mut read = again(&mut stream);
    assert_eq!(unit_f64(&mut read), unit_f64(&mut stream));
    for length in [0, 1, 63, 64, 200] {
        let mut hasher = Sha256::new();
        hasher.update(vec![7; length]);
        let mut read = again(&mut hasher);
        hasher.update(b"more");
        read.update(b"more");
        assert_eq!(read.finalize(), hasher.finalize(), "{length}");
    }
}

#[test]
fn tensors_keep_kind_shape_place_in_memory_and_bits() {
    let numbers = Tensor::arange(24, (Kind::Float, Device::Cpu)).f_view([2, 3, 2, 2]).unwrap();
    let mut odd = numbers.f_mul_scalar(f64::NAN).unwrap();
    let kinds = [Kind::Double, Kind::Int64, Kind::Bool, Kind::BFloat16, Kind::Uint8];
    let mut all: Vec<Tensor> = kinds.map(|kind| numbers.to_kind(kind)).into();
    all.push(channels_last(&numbers).unwrap());
    all.push(numbers.f_transpose(0, 1).unwrap());
    all.push(Tensor::f_zeros([0, 4], (Kind::Float, Device::Cpu)).unwrap());
    all.push(Tensor::from(2.5_f32));
    for tensor in &mut all {
        let read = again(tensor);
        assert_eq!((read.size(), read.kind()), (tensor.size(), tensor.kind()));
        assert_eq!(read.stride(), tensor.stride(), "{:?}", tensor.size());
        assert!(read.equal(tensor));
    }
    // A row that is seen many times is kept as the values that it has.
    let mut seen = numbers.f_select(0, 1).unwrap().f_view([1, 12]).unwrap().expand([5, 12], false);
    assert!(again(&mut seen).equal(&seen));
    assert!(again(&mut odd).f_isnan().unwrap().all() == Tensor::from(true));
    assert!(!again(&mut Tensor::new()).defined());
}

#[test]
fn weights_are_read_in_place_and_a_network_that_was_not_there_appears() {
    let (from, into) = (network(), network());
    tch::no_grad(|| into.parameters.iter().for_each(|p| drop(p.tensor.shallow_clone().zero_())));
    let mut teacher = Some(from.duplicate());
    let mut state = State::writing(&from);
    state.weights("network", &from).unwrap();
    state.network("teacher", &mut teacher).unwrap();
    let bytes = state.finish().unwrap();

    let (mut read, seen) = (None, into.parameters[0].tensor.shallow_clone());
    let mut state = State::reading(&bytes, &into);
    state.weights("network", &into).unwrap();
    state.network("teacher", &mut read).unwrap();
    state.finish().unwrap();
    assert_eq!(into.digest().unwrap(), from.digest().unwrap());
    assert!(seen.equal(&from.parameters[0].tensor) && into.parameters[0].tensor.requires_grad());
    let read = read.unwrap();
    assert_eq!(read.digest().unwrap(), from.digest().unwrap());
    let inputs = Tensor::ones([2, 3], (Kind::Float, Device::Cpu));
    let [one, other] = [&read, &from].map(|network| network.forward(&inputs, false).unwrap());
    assert!(one.equal(&other));
    let names = |network: &Network| -> Vec<String> {
        network.parameters.iter().map(|parameter| parameter.name.clone()).collect()
    };
    assert_eq!(names(&read), names(&from));
}

#[test]
fn another_field_a_cut_state_and_another_network_are_refused() {
    let network = network();
    let mut state = State::writing(&network);
    state.of("momenta", &mut vec![1.0, 2.0]).unwrap();
    state.weights("network", &network).unwrap();
    let bytes = state.finish().unwrap();
    let refused = |bytes: &[u8], name: &str, network: &Network| {
        let mut state = State::reading(bytes, network);
        let read = state.of(name, &mut Vec::<f64>::new());
        let read = read.and_then(|()| state.weights("network", network));
        read.and_then(|()| state.finish()).unwrap_err().to_string()
    };
    let said = refused(&bytes, "steps", &network);
    assert!(said.contains("it has \"momenta\" where \"steps\" is expected"), "{said}");
    for end in 0..bytes.len() {
        refused(&bytes[..end], "momenta", &network);
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(refused(&longer, "momenta", &network).contains("1 bytes are left at its end"));
    let wider = mlp(&[3, 5, 2], &trial::streams(), Device::Cpu).unwrap();
    assert!(refused(&bytes, "momenta", &wider).contains("shape [4, 3] for one of [5, 3]"));
}

#[test]
fn a_network_larger_than_what_is_left_is_refused_before_there_is_room_for_it() {
    let network = network();
    for size in [vec![1 << 40], vec![i64::MAX, i64::MAX], vec![-1]] {
        let mut state = State::writing(&network);
        state.of("copy", &mut true).unwrap();
        let mut outline: Vec<Outline> = vec![("weight".to_owned(), 0, 0, size)];
        state.told("outline", &mut outline).unwrap();
        let bytes = state.finish().unwrap();
        let mut state = State::reading(&bytes, &network);
        let error = state.network("copy", &mut None).unwrap_err().to_string();
        assert!(error.contains("larger than what is left"), "{error}");
    }
}
