package dev.lockstep.device.neuron.hlo;

import dev.lockstep.device.neuron.hlo.HloInterpreter.Collective;
import dev.lockstep.device.neuron.hlo.HloProgram.Array;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/// Runs replicas side by side, each its own program or all the same, and gives each collective its
/// meaning: all replicas must come to one of the same opcode, of the same shapes and over the same
/// groups.
final class HloReplicas {
  private static final String PERMUTE = "collective-permute";

  private HloReplicas() {}

  static boolean isCollective(String opcode) {
    return List.of("all-reduce", "all-gather", "all-to-all", "reduce-scatter", PERMUTE)
        .contains(opcode);
  }

  /// Runs one program on all replicas.
  ///
  /// @param parameters for each replica its parameters
  /// @return for each replica the elements of the root's tuple
  static List<List<double[]>> run(HloProgram program, List<List<double[]>> parameters) {
    return run(Collections.nCopies(parameters.size(), program), parameters);
  }

  /// Runs the replicas' own programs.
  static List<List<double[]>> run(List<HloProgram> programs, List<List<double[]>> parameters) {
    List<HloInterpreter> replicas = new ArrayList<>();
    for (int i = 0; i < programs.size(); i++) {
      replicas.add(new HloInterpreter(programs.get(i), parameters.get(i)));
    }
    for (List<Collective> met = met(replicas); !met.isEmpty(); met = met(replicas)) {
      for (int replica = 0; replica < replicas.size(); replica++) {
        List<Collective> among = new ArrayList<>();
        for (long member : group(met.get(replica), replica)) {
          among.add(met.get((int) member));
        }
        replicas.get(replica).give(result(among, replica));
      }
    }
    return replicas.stream().map(HloInterpreter::results).toList();
  }

  /// What all replicas come to next; none at their end.
  private static List<Collective> met(List<HloInterpreter> replicas) {
    List<Optional<Collective>> met = replicas.stream().map(HloInterpreter::advance).toList();
    if (met.stream().map(Optional::isPresent).distinct().count() != 1) {
      throw new IllegalStateException("replicas differ in the number of their collectives");
    }
    return met.stream().flatMap(Optional::stream).toList();
  }

  /// What a collective gives a replica.
  ///
  /// @param met what each replica of its group came to, in the group's order
  static double[] result(List<Collective> met, int replica) {
    Collective own = met.getFirst();
    met.forEach(other -> requireAlike(own, other));
    List<Long> group = group(own, replica);
    List<double[]> each = met.stream().map(Collective::mine).toList();
    return own.at().opcode().equals(PERMUTE)
        ? sent(own, group, each, replica)
        : exchanged(own, each, group.indexOf((long) replica));
  }

  /// What is sent to a replica; zeros if nothing is.
  private static double[] sent(Collective own, List<Long> group, List<double[]> each, int replica) {
    return pairs(own).stream()
        .filter(pair -> pair.getLast() == replica)
        .map(pair -> each.get(group.indexOf(pair.getFirst())))
        .findFirst()
        .orElseGet(() -> new double[own.mine().length]);
  }

  /// The group of a replica in a collective. In a permutation it is who sends to it or takes from
  /// it, who sends to those or takes from them, and so on.
  static List<Long> group(Collective own, int replica) {
    if (own.at().opcode().equals(PERMUTE)) {
      return linked(pairs(own), replica);
    }
    return groups(own).stream()
        .filter(group -> group.contains((long) replica))
        .findFirst()
        .orElseThrow(() -> new IllegalStateException("replica is in no group: " + own.at().name()));
  }

  private static List<Long> linked(List<List<Long>> pairs, long replica) {
    Set<Long> linked = new TreeSet<>(List.of(replica));
    boolean grows = true;
    while (grows) {
      grows = false;
      for (List<Long> pair : pairs) {
        grows |= pair.stream().anyMatch(linked::contains) && linked.addAll(pair);
      }
    }
    return List.copyOf(linked);
  }

  /// Source and target of each message of a permutation.
  private static List<List<Long>> pairs(Collective own) {
    return own.at().proto().messages(52).stream()
        .map(pair -> List.of(pair.number(1), pair.number(2)))
        .toList();
  }

  private static void requireAlike(Collective own, Collective other) {
    boolean alike =
        own.at().opcode().equals(other.at().opcode())
            && own.join().equals(other.join())
            && Arrays.equals(own.operand().dims(), other.operand().dims())
            && own.operand().element() == other.operand().element()
            && groups(own).equals(groups(other))
            && pairs(own).equals(pairs(other));
    if (!alike) {
      throw new IllegalStateException(
          "replicas meet in different collectives: " + own.at().name() + ", " + other.at().name());
    }
  }

  private static List<List<Long>> groups(Collective of) {
    return of.at().proto().messages(49).stream()
        .map(list -> Arrays.stream(list.packed(1)).boxed().toList())
        .toList();
  }

  private static double[] exchanged(Collective own, List<double[]> each, int place) {
    int[] from = own.operand().dims();
    Array to = own.at().type();
    int size = each.size();
    return switch (own.at().opcode()) {
      case "all-reduce" -> sum(own, each);
      case "all-gather" ->
          HloInterpreter.joined(
              each, each.stream().map(_ -> from).toList(), (int) own.at().dims()[0], to);
      case "reduce-scatter" -> part(sum(own, each), from, (int) own.at().dims()[0], place, size);
      default -> {
        int dim = (int) own.at().dims()[0];
        int[] piece = from.clone();
        piece[dim] /= size;
        List<double[]> pieces = each.stream().map(x -> part(x, from, dim, place, size)).toList();
        yield HloInterpreter.joined(pieces, pieces.stream().map(_ -> piece).toList(), dim, to);
      }
    };
  }

  private static double[] sum(Collective own, List<double[]> each) {
    double[] sum = each.getFirst().clone();
    for (double[] other : each.subList(1, each.size())) {
      for (int i = 0; i < sum.length; i++) {
        sum[i] = HloInterpreter.binary(own.join(), own.at().type().isInteger(), sum[i], other[i]);
      }
    }
    return sum;
  }

  /// Part `place` of `size` equal ones along `dim`.
  private static double[] part(double[] x, int[] dims, int dim, int place, int size) {
    int[] piece = dims.clone();
    piece[dim] /= size;
    int[] strides = HloInterpreter.strides(dims);
    return HloInterpreter.view(x, piece, strides, place * piece[dim] * strides[dim]);
  }
}
