import com.sun.source.tree.ClassTree;
import com.sun.source.tree.MethodTree;
import com.sun.source.tree.ModifiersTree;
import com.sun.source.tree.Tree;
import com.sun.source.tree.VariableTree;
import com.sun.source.util.DocTrees;
import com.sun.source.util.JavacTask;
import com.sun.source.util.TreePath;
import com.sun.source.util.TreePathScanner;
import java.io.IOException;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import javax.lang.model.element.Modifier;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;

/// Finds the exported declarations of a source that have no documentation comment.
///
/// Exempt is what says nothing new: methods that override, record components, enum constants, and
/// the constructors that a record must have. Tags are not asked for: a comment that says what
/// matters may do without them.
final class Documentation extends TreePathScanner<Void, Void> {
  private final DocTrees trees;
  private final List<String> undocumented = new ArrayList<>();

  private Documentation(DocTrees trees) {
    this.trees = trees;
  }

  /// Returns the names of the declarations that lack a comment.
  static List<String> undocumented(String source) throws IOException {
    var file =
        new SimpleJavaFileObject(URI.create("string:///Source.java"), JavaFileObject.Kind.SOURCE) {
          @Override
          public CharSequence getCharContent(boolean ignoreEncodingErrors) {
            return source;
          }
        };
    var compiler = ToolProvider.getSystemJavaCompiler();
    var task =
        (JavacTask)
            compiler.getTask(null, null, _ -> {}, List.of("-proc:none"), null, List.of(file));
    var scanner = new Documentation(DocTrees.instance(task));
    task.parse().forEach(unit -> scanner.scan(unit, null));
    return scanner.undocumented;
  }

  @Override
  public Void visitClass(ClassTree type, Void unused) {
    if (!isExported(type.getModifiers())) {
      return null;
    }
    require(type.getSimpleName().toString());
    return super.visitClass(type, unused);
  }

  @Override
  public Void visitMethod(MethodTree method, Void unused) {
    var exempt =
        method.getModifiers().getAnnotations().stream()
            .anyMatch(annotation -> annotation.getAnnotationType().toString().equals("Override"));
    var ofRecord = enclosing().getKind() == Tree.Kind.RECORD && method.getReturnType() == null;
    if (!exempt && !ofRecord && isExported(method.getModifiers())) {
      require(enclosing().getSimpleName() + "." + method.getName());
    }
    return null;
  }

  @Override
  public Void visitVariable(VariableTree field, Void unused) {
    var flags = field.getModifiers().getFlags();
    var component = enclosing().getKind() == Tree.Kind.RECORD && !flags.contains(Modifier.STATIC);
    var constant = enclosing().getKind() == Tree.Kind.ENUM && field.getType() == null;
    if (!component && !constant && !isEnumConstant(field) && isExported(field.getModifiers())) {
      require(enclosing().getSimpleName() + "." + field.getName());
    }
    return null;
  }

  /// The parser gives an enum's constants the type of the enum.
  private boolean isEnumConstant(VariableTree field) {
    return enclosing().getKind() == Tree.Kind.ENUM
        && field.getType() != null
        && field.getType().toString().equals(enclosing().getSimpleName().toString());
  }

  private ClassTree enclosing() {
    return (ClassTree) getCurrentPath().getParentPath().getLeaf();
  }

  private boolean isExported(ModifiersTree modifiers) {
    var flags = modifiers.getFlags();
    var parent = getCurrentPath().getParentPath().getLeaf();
    var inInterface =
        parent.getKind() == Tree.Kind.INTERFACE || parent.getKind() == Tree.Kind.ANNOTATION_TYPE;
    return flags.contains(Modifier.PUBLIC)
        || flags.contains(Modifier.PROTECTED)
        || (inInterface && !flags.contains(Modifier.PRIVATE));
  }

  private void require(String name) {
    TreePath path = getCurrentPath();
    var comment = trees.getDocComment(path);
    if (comment == null || comment.isBlank()) {
      var line =
          path.getCompilationUnit()
              .getLineMap()
              .getLineNumber(
                  trees
                      .getSourcePositions()
                      .getStartPosition(path.getCompilationUnit(), path.getLeaf()));
      undocumented.add(String.format(Locale.ROOT, "line=%d, name=%s", line, name));
    }
  }
}
