// What the loops of weights_loops.cpp, compiled once per instruction set, and their callers agree on. They go
// through floats in the order in which they lie in memory.
#pragma once
#include <cstdint>

extern "C" {

// One set of loops.
struct WeightLoops {
  // N:M masks: in every `group` weights all but the `kept` largest by magnitude are dropped; among equal ones the
  // later stay, and what is not a number counts as the largest. `added` is change * w where one is dropped, else 0;
  // it may be null. `seen` is w + added. `count` is a number of whole groups, and `kept` at most `group`.
  void (*fade)(const float* weights, int64_t count, int64_t kept, int64_t group, float change, float* seen,
               float* added);
  // moved -= rate * along, the product rounded first.
  void (*subtract)(float* moved, const float* along, int64_t count, float rate);
  // there = from + by * along and back = from - by * along, the product rounded first.
  void (*displace)(const float* from, const float* along, int64_t count, float by, float* there, float* back);
  // outer x inner x places numbers as outer x places x inner.
  void (*channels_last)(const float* from, int64_t outer, int64_t inner, int64_t places, float* to);
};
}
