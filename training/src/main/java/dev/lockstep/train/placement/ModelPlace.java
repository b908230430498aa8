package dev.lockstep.train.placement;

import dev.lockstep.tensor.Shape;
import dev.lockstep.train.nn.Parameter;

/// A rank's place among those that hold parts of layers: on the axis of expert parallelism, which
/// deals out experts alone, and on that of tensor parallelism, which cuts features and deals out
/// what experts a place on the first one holds. Places are numbered with the second fastest.
///
/// @param expert place on the axis that experts are spread over
/// @param tensor place on the axis that features, heads and experts are spread over
public record ModelPlace(AxisPlace expert, AxisPlace tensor) {
  /// Returns the place of a rank that holds whole layers.
  public static ModelPlace whole() {
    return new ModelPlace(new AxisPlace("ep", 1, 0), new AxisPlace("tp", 1, 0));
  }

  /// Returns the number of places.
  public int ranks() {
    return expert.ranks() * tensor.ranks();
  }

  /// Returns this rank's number among them.
  public int rank() {
    return expert.rank() * tensor.ranks() + tensor.rank();
  }

  /// Returns whether there are several.
  public boolean isSplit() {
    return ranks() > 1;
  }

  /// Returns this rank's place among those that a parameter is cut over.
  public AxisPlace of(Parameter parameter) {
    return parameter.ofExperts()
        ? new AxisPlace(expert.name() + "," + tensor.name(), ranks(), rank())
        : tensor;
  }

  /// Returns which part of a cut parameter one of the places holds.
  ///
  /// @param rank number among all places
  public int part(Parameter parameter, int rank) {
    return parameter.ofExperts() ? rank : rank % tensor.ranks();
  }

  /// Returns the first of the places that hold a part of a cut parameter.
  ///
  /// @param part number of the part
  public ModelPlace holder(Parameter parameter, int part) {
    int first = parameter.ofExperts() ? part / tensor.ranks() : 0;
    return new ModelPlace(
        new AxisPlace(expert.name(), expert.ranks(), first),
        new AxisPlace(tensor.name(), tensor.ranks(), part % tensor.ranks()));
  }

  /// Returns whether this is the first of the places that hold the same of a parameter as it does.
  public boolean isFirstHolder(Parameter parameter) {
    boolean isCut = placement(parameter) instanceof Placement.Shard;
    return equals(holder(parameter, isCut ? part(parameter, rank()) : 0));
  }

  /// Returns how a parameter lies over the places.
  public Placement placement(Parameter parameter) {
    return of(parameter).ranks() == 1 ? Placement.replicate() : Placement.of(parameter.split());
  }

  /// Returns the shape of what a place holds of a parameter.
  public Shape localShape(Parameter parameter) {
    return placement(parameter).localShape(parameter.shape(), of(parameter).ranks());
  }

  /// Returns how many blocks of a parameter a place holds.
  public int localBlocks(Parameter parameter) {
    int blocks = parameter.split().blocks().count();
    return placement(parameter) instanceof Placement.Shard
        ? blocks / of(parameter).ranks()
        : blocks;
  }
}
