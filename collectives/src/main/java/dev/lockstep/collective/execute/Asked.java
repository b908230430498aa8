package dev.lockstep.collective.execute;

/// What a rank asks for, without when.
///
/// @param words the request, for messages
/// @param callSite where it was prepared, or empty
/// @param fingerprint hash that tells this collective from others
record Asked(String words, String callSite, long fingerprint) {
  /// Returns what is asked for at some place among the communicator's collectives, for messages.
  String at(long sequence) {
    return describe(words, sequence, callSite);
  }

  /// As [#at].
  ///
  /// @param site where it is called, or empty
  static String describe(String words, long sequence, String site) {
    return "%s at sequence %d%s"
        .formatted(words, sequence, site.isEmpty() ? "" : ", called at " + site);
  }
}
