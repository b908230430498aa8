package dev.lockstep.collective.plan;

import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.collective.simulate.Simulation;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;

/// Says what a plan is and why: as text, as a Chrome trace, as a graph for Graphviz. Pure.
public final class Explanation {
  private static final String CHOSEN = "<- chosen";
  private static final int MOST_RANKS = 4;
  private static final int MOST_STEPS = 48;
  private static final int MOST_DRAWN_STEPS = 2_000;

  /// Threads of a rank in a Chrome trace.
  private static final int OWN_STEPS = 0;

  private static final int MESSAGES = 1;

  private final CostTable table;
  private final Candidate choice;
  private final Schedule schedule;
  private final Simulation simulation;
  private final Map<Integer, List<Simulation.StepTime>> times = new LinkedHashMap<>();

  /// Makes the explanation of a choice.
  ///
  /// @param table what every algorithm costs
  /// @param choice the candidate to be explained, one that can do it
  /// @param simulation of its schedule
  public Explanation(CostTable table, Candidate choice, Simulation simulation) {
    this.table = table;
    this.choice = choice;
    this.schedule = Objects.requireNonNull(choice.schedule(), "choice cannot do it");
    this.simulation = simulation;
    simulation.forEachStep(
        time -> times.computeIfAbsent(time.rank(), _ -> new ArrayList<>()).add(time));
  }

  /// Returns the cost table, the choice, why the others are out, and the steps of one rank of each
  /// kind with their predicted times.
  public String text() {
    StringBuilder text = new StringBuilder();
    text.append(table.request().words())
        .append(", ranks=")
        .append(table.request().ranks())
        .append(", mode=")
        .append(table.request().mode().name().toLowerCase(Locale.ROOT).replace('_', '-'))
        .append("\n\n");
    costs(text);
    text.append('\n').append("choice: ").append(choice.algorithm()).append(reason()).append("\n\n");
    steps(text);
    return text.toString();
  }

  private void costs(StringBuilder text) {
    int width = 9;
    int links = 5;
    for (Candidate candidate : table.candidates()) {
      width = Math.max(width, candidate.algorithm().length());
      links = Math.max(links, candidate.links().length());
    }
    String row = "%-" + width + "s  %-" + links + "s  %14s  %10s  %s%n";
    text.append(row.formatted("algorithm", "links", "predicted (us)", "GB/s", ""));
    for (Candidate candidate : table.ranked()) {
      String micros = "-";
      String rate = "-";
      if (candidate.nanos().isPresent()) {
        double nanos = candidate.nanos().getAsDouble();
        micros = String.format(Locale.ROOT, "%.2f", nanos / 1000);
        rate = String.format(Locale.ROOT, "%.2f", nanos > 0 ? bytes() / nanos : 0);
      }
      String why = candidate.reason();
      if (candidate.equals(choice)) {
        why = why.isEmpty() ? CHOSEN : CHOSEN + ", " + why;
      }
      text.append(
          row.formatted(candidate.algorithm(), candidate.links(), micros, rate, why)
              .replaceAll(" +(\\R)$", "$1"));
    }
  }

  private long bytes() {
    return table.request().bufferElements() * table.request().dtype().bytes();
  }

  private String reason() {
    List<Candidate> timed =
        table.ranked().stream().filter(candidate -> candidate.nanos().isPresent()).toList();
    if (choice.nanos().isEmpty()) {
      return ", the first that can do it: nothing could be timed";
    }
    if (choice.nanos().getAsDouble() == 0) {
      return ", which takes no time";
    }
    for (Candidate other : timed) {
      if (!other.equals(choice)) {
        double factor = other.nanos().getAsDouble() / choice.nanos().getAsDouble();
        return factor >= 1
            ? String.format(
                Locale.ROOT,
                ", the cheapest: the next one, %s, takes %.2f times as long",
                other.algorithm(),
                factor)
            : String.format(
                Locale.ROOT,
                ", as asked: %s would take %.2f times as long",
                other.algorithm(),
                factor);
      }
    }
    return ", the only one that can be timed";
  }

  private void steps(StringBuilder text) {
    text.append(
        String.format(
            Locale.ROOT,
            "schedule %016x: %d steps of all ranks, %s%n",
            schedule.identity(),
            simulation.stepsOfAllRanks(),
            simulation.isFolded()
                ? simulation.programs() + " kinds of ranks, one of each simulated"
                : "every rank simulated"));
    int shown = 0;
    for (Map.Entry<Integer, List<Simulation.StepTime>> rank : times.entrySet()) {
      if (shown++ == MOST_RANKS) {
        text.append("... and ").append(times.size() - MOST_RANKS).append(" ranks more\n");
        return;
      }
      text.append("rank ").append(rank.getKey()).append('\n');
      List<Step> steps = schedule.steps(rank.getKey());
      for (int i = 0; i < Math.min(MOST_STEPS, steps.size()); i++) {
        Simulation.StepTime time = rank.getValue().get(i);
        text.append(
            String.format(
                Locale.ROOT,
                "  %4d  %12.3f - %12.3f us  %s%n",
                i,
                time.beginNanos() / 1000,
                time.endNanos() / 1000,
                StepWords.of(steps.get(i), rank.getKey())));
      }
      if (steps.size() > MOST_STEPS) {
        text.append("  ... and ").append(steps.size() - MOST_STEPS).append(" steps more\n");
      }
    }
  }

  /// Returns the predicted run for `chrome://tracing` and Perfetto: a process per simulated rank, a
  /// thread for its own steps, and its messages, of which several may be under way at once, as
  /// asynchronous events.
  public String chromeTrace() {
    List<String> events = new ArrayList<>();
    for (Map.Entry<Integer, List<Simulation.StepTime>> rank : times.entrySet()) {
      int number = rank.getKey();
      long others = simulation.alike(number) - 1;
      String name = "rank " + number + (others > 0 ? ", as " + others + " others" : "");
      events.add(named("process_name", number, OWN_STEPS, name));
      events.add(named("thread_name", number, OWN_STEPS, "steps"));
      events.add(named("thread_name", number, MESSAGES, "messages"));
      List<Step> steps = schedule.steps(number);
      for (Simulation.StepTime time : rank.getValue()) {
        Step step = steps.get(time.step());
        String words = StepWords.of(step, number);
        if (StepWords.isMessage(step)) {
          events.add(message('b', time, time.beginNanos(), words));
          events.add(message('e', time, time.endNanos(), words));
        } else {
          events.add(ownStep(time, words));
        }
      }
    }
    return "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"algorithm\":\"%s\",\"request\":\"%s\",\"ranks\":%s,\"simulated\":%s},\"traceEvents\":[\n%s\n]}\n"
        .formatted(
            choice.algorithm(),
            table.request().words(),
            schedule.ranks(),
            simulation.programs(),
            String.join(",\n", events));
  }

  private static String named(String what, int rank, int thread, String name) {
    return "{\"ph\":\"M\",\"name\":\"%s\",\"pid\":%s,\"tid\":%s,\"args\":{\"name\":\"%s\"}}"
        .formatted(what, rank, thread, name);
  }

  private static String ownStep(Simulation.StepTime time, String words) {
    return String.format(
        Locale.ROOT,
        "{\"ph\":\"X\",\"pid\":%d,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,\"name\":\"%s\",\"args\":{\"step\":%d}}",
        time.rank(),
        OWN_STEPS,
        time.beginNanos() / 1000,
        (time.endNanos() - time.beginNanos()) / 1000,
        words,
        time.step());
  }

  private static String message(
      char phase, Simulation.StepTime time, double atNanos, String words) {
    return String.format(
        Locale.ROOT,
        "{\"ph\":\"%s\",\"cat\":\"message\",\"id\":\"%d.%d\",\"pid\":%d,\"tid\":%d,\"ts\":%.3f,\"name\":\"%s\",\"args\":{\"step\":%d}}",
        phase,
        time.rank(),
        time.step(),
        time.rank(),
        MESSAGES,
        atNanos / 1000,
        words,
        time.step());
  }

  /// Returns the schedule as a graph: a column of steps per rank, an edge for each message and each
  /// signal between ranks that are shown. Of many steps the first ranks are, and how many are not.
  public String dot() {
    StringBuilder dot = new StringBuilder("digraph schedule {\n  rankdir=TB; node [shape=box];\n");
    Map<String, List<String>> sent = new LinkedHashMap<>();
    Map<String, List<String>> received = new LinkedHashMap<>();
    int drawn = 0;
    int rank = 0;
    for (; rank < schedule.ranks() && drawn < MOST_DRAWN_STEPS; rank++) {
      dot.append("  subgraph cluster_")
          .append(rank)
          .append(" { label=\"rank ")
          .append(rank)
          .append("\";\n");
      int at = 0;
      for (Step step : schedule.steps(rank)) {
        String node = "s" + rank + "_" + at++;
        dot.append("    %s [label=\"%s\"];%n".formatted(node, StepWords.of(step, rank)));
        if (at > 1) {
          dot.append("    s%s_%s -> %s [style=dotted];%n".formatted(rank, at - 2, node));
        }
        channel(step, rank, sent, received, node);
        drawn++;
      }
      dot.append("  }\n");
    }
    if (rank < schedule.ranks()) {
      dot.append(
          "  more [shape=plaintext, label=\"... and %s ranks more\"];%n"
              .formatted(schedule.ranks() - rank));
    }
    received.forEach(
        (channel, nodes) -> {
          List<String> sources = sent.getOrDefault(channel, List.of());
          for (int i = 0; i < Math.min(nodes.size(), sources.size()); i++) {
            dot.append("  ").append(sources.get(i)).append(" -> ").append(nodes.get(i));
            dot.append(" [constraint=false];\n");
          }
        });
    return dot.append("}\n").toString();
  }

  private static void channel(
      Step step,
      int rank,
      Map<String, List<String>> sent,
      Map<String, List<String>> received,
      String node) {
    switch (step) {
      case Step.Send(int peer, _) -> add(sent, rank + ">" + peer, node);
      case Step.Signal(int peer, int slot) -> add(sent, rank + ">" + peer + "/" + slot, node);
      case Step.Receive(int peer, _) -> add(received, peer + ">" + rank, node);
      case Step.ReceiveReduce(int peer, _) -> add(received, peer + ">" + rank, node);
      case Step.Await(int peer, int slot) -> add(received, peer + ">" + rank + "/" + slot, node);
      case Step.Copy _, Step.Reduce _, Step.Spread _, Step.Swap _, Step.Scale _, Step.Divide _ -> {}
    }
  }

  private static void add(Map<String, List<String>> channels, String channel, String node) {
    channels.computeIfAbsent(channel, _ -> new ArrayList<>()).add(node);
  }
}
