package dev.lockstep.device.neuron;

import dev.lockstep.device.neuron.hlo.HloModule;
import java.util.List;

/// A module's parameters and results as JSON, for whoever runs it elsewhere.
final class PortTable {
  private PortTable() {}

  /// @param ranks which of the replicas run the module; empty for all
  static String json(HloModule module, int replicas, List<Integer> ranks) {
    StringBuilder text = new StringBuilder("{\n");
    text.append("  \"name\": ").append(quoted(module.name())).append(",\n");
    text.append("  \"replicas\": ").append(replicas).append(",\n");
    if (!ranks.isEmpty()) {
      text.append("  \"ranks\": ").append(ranks).append(",\n");
    }
    ports(text, "parameters", module.inputs());
    text.append(",\n");
    ports(text, "results", module.outputs());
    if (!module.tables().isEmpty()) {
      text.append(",\n  \"ids\": ").append(quoted(HloModule.IDS));
    }
    if (module.readsRank()) {
      text.append(",\n  \"rank\": ").append(quoted(HloModule.RANK));
    }
    return text.append("\n}\n").toString();
  }

  private static void ports(StringBuilder text, String kind, List<HloModule.Port> ports) {
    text.append("  \"").append(kind).append("\": [");
    for (int i = 0; i < ports.size(); i++) {
      HloModule.Port port = ports.get(i);
      text.append(i == 0 ? "\n" : ",\n")
          .append("    {\"name\": ")
          .append(quoted(port.name()))
          .append(", \"graphName\": ")
          .append(quoted(port.graphName()))
          .append(", \"dtype\": \"")
          .append(port.type().dtype())
          .append("\", \"shape\": ")
          .append(port.type().shape())
          .append("}");
    }
    text.append(ports.isEmpty() ? "]" : "\n  ]");
  }

  private static String quoted(String name) {
    StringBuilder quoted = new StringBuilder("\"");
    for (int i = 0; i < name.length(); i++) {
      char c = name.charAt(i);
      if (c == '"' || c == '\\') {
        quoted.append('\\').append(c);
      } else if (c < ' ') {
        quoted.append("\\u%04x".formatted((int) c));
      } else {
        quoted.append(c);
      }
    }
    return quoted.append('"').toString();
  }
}
