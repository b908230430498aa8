package dev.lockstep.collective.request;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;

/// A collective of any kind in which every rank has as much as any other and brings one lane: what
/// is left to choose is how much, and of whom.
///
/// @param kind operation
/// @param dtype element type
/// @param op how contributions are joined, if the kind reduces
/// @param root the rank that broadcasts, gathers, scatters or reduces to, if the kind has one
/// @param mode what is promised about the bits, if the kind reduces
public record EvenCollective(CollectiveKind kind, DType dtype, ReduceOp op, int root, Mode mode) {
  /// Returns how many elements a rank's larger buffer of that many bytes has; of a part of it where
  /// the kind is in parts.
  public long count(long bytes, int ranks) {
    return bytes / dtype.bytes() / (kind.isInParts() ? ranks : 1);
  }

  /// Returns how many bytes a rank's larger buffer has.
  ///
  /// @param count elements, of a part where the kind is in parts
  public long bytes(long count, int ranks) {
    return count * dtype.bytes() * (kind.isInParts() ? ranks : 1);
  }

  /// Returns the request of as many elements.
  ///
  /// @param count elements, of a part where the kind is in parts
  /// @param inPlace whether input and output share their memory
  public CollectiveRequest request(long count, boolean inPlace, Topology topology) {
    int ranks = topology.ranks();
    LaneSplit lanes = LaneSplit.onePerRank(ranks);
    return switch (kind) {
      case ALL_REDUCE ->
          CollectiveRequest.allReduce(dtype, op, count, inPlace, topology, lanes, mode);
      case REDUCE_SCATTER ->
          CollectiveRequest.reduceScatter(
              dtype, op, Counts.each(ranks, count), inPlace, topology, lanes, mode);
      case REDUCE ->
          CollectiveRequest.reduce(dtype, op, count, root, inPlace, topology, lanes, mode);
      case ALL_GATHER ->
          CollectiveRequest.allGather(dtype, Counts.each(ranks, count), inPlace, topology);
      case BROADCAST ->
          CollectiveRequest.broadcast(dtype, count, root, topology).withInPlace(inPlace);
      case ALL_TO_ALL ->
          CollectiveRequest.allToAll(
              dtype, Counts.each((long) ranks * ranks, count), inPlace, topology);
      case GATHER ->
          CollectiveRequest.gather(dtype, Counts.each(ranks, count), root, inPlace, topology);
      case SCATTER ->
          CollectiveRequest.scatter(dtype, Counts.each(ranks, count), root, inPlace, topology);
      case BARRIER -> CollectiveRequest.barrier(topology);
      case SEND_RECEIVE -> CollectiveRequest.sendReceive(dtype, count, inPlace, topology);
    };
  }
}
