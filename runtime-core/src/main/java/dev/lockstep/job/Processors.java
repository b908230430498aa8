package dev.lockstep.job;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/// How a host's ranks share its processors.
///
/// A launcher may bind each rank to processors of its own, and may leave all ranks on all of them:
/// only the ranks together can tell, each by the list that the system keeps of it.
public final class Processors {
  private static final Path STATUS = Path.of("/proc/self/status");
  private static final String ALLOWED = "Cpus_allowed_list:";

  // More than any Linux has: a list that names a greater one is none.
  private static final int MOST = 1 << 16;

  private Processors() {}

  /// Returns the processors that this process may run on, by number; none where the system does not
  /// say.
  public static List<Integer> own() {
    return of(allowed());
  }

  /// Returns the processors of a list as Linux writes it, `0-3,8`; none where it is not one.
  public static List<Integer> of(String list) {
    return parsed(list).stream().boxed().toList();
  }

  /// Returns the processors that this process may run on, as Linux lists them, `0-3,8`; nothing
  /// where it does not say.
  static String allowed() {
    try {
      return allowed(Files.readAllLines(STATUS));
    } catch (IOException unreadable) {
      return "";
    }
  }

  /// Returns the list among lines of `/proc/self/status`.
  static String allowed(List<String> status) {
    return status.stream()
        .filter(line -> line.startsWith(ALLOWED))
        .map(line -> line.substring(ALLOWED.length()).strip())
        .findFirst()
        .orElse("");
  }

  /// Returns how many ranks of this host, this one included, may run on that processor of this
  /// one's which most of them may run on; every rank of the host asks. Where no rank has fewer
  /// processors than that, there is one for each.
  ///
  /// @param allowed the processors that this rank may run on
  /// @param timeout how long to wait for the others' lists
  static int sharers(Store store, Placement placement, String allowed, Duration timeout) {
    List<String> hosts = placement.hosts();
    String own = placement.host();
    if (hosts.stream().filter(own::equals).count() == 1) {
      return 1;
    }
    store.set(key(placement.rank()), allowed.getBytes(StandardCharsets.UTF_8));
    List<String> lists = new ArrayList<>();
    for (int rank = 0; rank < hosts.size(); rank++) {
      if (hosts.get(rank).equals(own)) {
        lists.add(new String(store.get(key(rank), timeout), StandardCharsets.UTF_8));
      }
    }
    return mostOnOneOf(allowed, lists);
  }

  /// Returns how many of the lists have that processor of `own` which most of them have. A list
  /// that says nothing may mean any processor.
  static int mostOnOneOf(String own, List<String> lists) {
    List<BitSet> sets = lists.stream().map(Processors::parsed).toList();
    BitSet mine = parsed(own);
    if (mine.isEmpty()) {
      return lists.size();
    }
    return mine.stream()
        .map(each -> (int) sets.stream().filter(set -> set.isEmpty() || set.get(each)).count())
        .max()
        .orElseThrow();
  }

  /// Returns whether there are as many processors as that. A virtual machine may be told that it
  /// has more than its process is bound to.
  ///
  /// @param seen how many the virtual machine counts
  /// @param own those that this process may run on; none where the system does not say
  static boolean suffice(int needed, int seen, List<Integer> own) {
    return needed <= seen && (own.isEmpty() || needed <= own.size());
  }

  /// Returns the processors of a list as Linux writes it, none where it is not one.
  private static BitSet parsed(String list) {
    BitSet processors = new BitSet();
    for (String part : list.split(",", -1)) {
      String[] ends = part.strip().split("-", 2);
      try {
        int first = Integer.parseInt(ends[0]);
        int last = ends.length == 1 ? first : Integer.parseInt(ends[1]);
        if (first < 0 || last < first || last >= MOST) {
          return new BitSet();
        }
        processors.set(first, last + 1);
      } catch (NumberFormatException _) {
        return new BitSet();
      }
    }
    return processors;
  }

  /// Returns the share of one rank, at least 1.
  static int share(int sharers) {
    return Math.max(1, Runtime.getRuntime().availableProcessors() / sharers);
  }

  private static String key(int rank) {
    return "lockstep/processors/" + rank;
  }
}
