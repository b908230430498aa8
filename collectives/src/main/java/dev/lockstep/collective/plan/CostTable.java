package dev.lockstep.collective.plan;

import dev.lockstep.collective.request.CollectiveRequest;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.Optional;

/// What every algorithm would cost for a request, and why those that cannot do it cannot.
///
/// @param request what is asked
/// @param candidates in the order of [dev.lockstep.collective.algorithm.Algorithms#all]; those that
///   do other kinds of collectives are left out
public record CostTable(CollectiveRequest request, List<Candidate> candidates) {
  /// Copies the list.
  public CostTable {
    candidates = List.copyOf(candidates);
  }

  /// Returns the rows of several tables of one request as one table.
  public static CostTable join(List<CostTable> tables) {
    List<Candidate> all = new ArrayList<>();
    tables.forEach(table -> all.addAll(table.candidates()));
    return new CostTable(tables.getFirst().request(), all);
  }

  /// Returns the cheapest candidate: of equal ones the first; where none was timed the first that
  /// can do it.
  ///
  /// @throws IllegalArgumentException if none can; the message has each one's reason
  public Candidate choice() {
    Optional<Candidate> cheapest =
        candidates.stream()
            .filter(candidate -> candidate.nanos().isPresent())
            .min(Comparator.comparingDouble(candidate -> candidate.nanos().getAsDouble()));
    return cheapest
        .or(() -> candidates.stream().filter(Candidate::isApplicable).findFirst())
        .orElseThrow(this::noAlgorithm);
  }

  private IllegalArgumentException noAlgorithm() {
    StringBuilder reasons = new StringBuilder();
    for (Candidate candidate : candidates) {
      reasons.append(", ").append(candidate.algorithm()).append('=').append(candidate.reason());
    }
    return new IllegalArgumentException(
        "no algorithm for this collective: request=" + request.words() + reasons);
  }

  /// Returns the candidates as they are shown: timed ones by their cost, then the others.
  public List<Candidate> ranked() {
    return candidates.stream()
        .sorted(
            Comparator.comparingDouble(
                (Candidate candidate) ->
                    candidate
                        .nanos()
                        .orElse(
                            Objects.isNull(candidate.schedule())
                                ? Double.POSITIVE_INFINITY
                                : Double.MAX_VALUE)))
        .toList();
  }
}
