package dev.lockstep.collective.simulate;

/// How fast a rank works on a peer's memory in place; bytes of the peer's. What a cache line costs
/// depends on who has read or written it last, so each way to use it has a rate of its own.
///
/// @param read copying from there what its rank has written before
/// @param fetch copying from there what its rank writes in the same collective: what this one has
///   read cannot be written there again without a word from core to core
/// @param join joining what lies there with something else
/// @param spread writing a result over what has just been joined there: in place
/// @param write writing a result where this rank has read nothing
/// @param swap exchanging what lies there with memory of this rank
public record PeerRates(
    Rates read, Rates fetch, Rates join, Rates spread, Rates write, Rates swap) {
  /// Returns memory that is used at one rate in all ways.
  public static PeerRates of(Rates rate) {
    return new PeerRates(rate, rate, rate, rate, rate, rate);
  }
}
