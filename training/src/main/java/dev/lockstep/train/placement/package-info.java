/// Where values lie along an axis of a mesh, as types, and the graph transformation that lays a
/// program of one device out over the ranks of an axis.
///
/// Note [placements are types]: every value of a laid-out program has a [Placement] on the axis. An
/// op whose operands' placements do not fit is refused by [PlacementRules] while the program is
/// built, so that a collective that is missing, doubled or on another axis does not build.
@NullMarked
package dev.lockstep.train.placement;

import org.jspecify.annotations.NullMarked;
