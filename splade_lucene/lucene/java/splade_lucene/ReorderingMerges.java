package splade_lucene;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import org.apache.lucene.index.CodecReader;
import org.apache.lucene.index.FilterMergePolicy;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.LiveIndexWriterConfig;
import org.apache.lucene.index.MergePolicy;
import org.apache.lucene.index.SegmentCommitInfo;
import org.apache.lucene.index.SegmentInfos;
import org.apache.lucene.index.Sorter;
import org.apache.lucene.store.Directory;

/**
 * Merges as the policy that it wraps does, and gives the documents of a forced merge new numbers on the way, so that
 * neighbours share terms.
 *
 * <p>Nothing outside the index can tell: hits are ordered by score and doc_id.
 */
final class ReorderingMerges extends FilterMergePolicy {
  private static final String REORDERED = "splade_lucene.reordered";

  private final int threads;
  private final long mostBytes;

  /** @param mostBytes what the documents' terms may take of the heap while the order is found */
  private ReorderingMerges(MergePolicy in, int threads, long mostBytes) {
    super(in);
    this.threads = threads;
    this.mostBytes = mostBytes;
  }

  /** Merges all that a writer holds into one segment of documents in a new order. */
  static void merge(IndexWriter writer, int threads) throws IOException {
    LiveIndexWriterConfig config = writer.getConfig();
    MergePolicy before = config.getMergePolicy();
    config.setMergePolicy(new ReorderingMerges(before, threads, Runtime.getRuntime().maxMemory() / 3));
    try {
      writer.forceMerge(1);
    } finally {
      config.setMergePolicy(before);
    }
  }

  /** One merge of everything, also where there is one segment already but not yet in this order. */
  @Override
  public MergeSpecification findForcedMerges(
      SegmentInfos infos, int mostSegments, Map<SegmentCommitInfo, Boolean> toMerge, MergeContext context) {
    List<SegmentCommitInfo> all = new ArrayList<>();
    for (SegmentCommitInfo info : infos) {
      if (context.getMergingSegments().contains(info)) {
        return null;
      }
      all.add(info);
    }
    if (all.isEmpty() || all.size() == 1 && all.getFirst().info.getDiagnostics().containsKey(REORDERED)) {
      return null;
    }
    MergeSpecification found = new MergeSpecification();
    found.add(new Reordering(all));
    return found;
  }

  private final class Reordering extends OneMerge {
    Reordering(List<SegmentCommitInfo> segments) {
      super(segments);
    }

    @Override
    public Sorter.DocMap reorder(CodecReader reader, Directory directory, Executor executor) throws IOException {
      return mapOf(Bisection.order(reader, threads, mostBytes));
    }

    @Override
    public void setMergeInfo(SegmentCommitInfo info) {
      super.setMergeInfo(info);
      if (info != null) {
        info.info.addDiagnostics(Map.of(REORDERED, "true"));
      }
    }
  }

  private static Sorter.DocMap mapOf(int[] newToOld) {
    int[] oldToNew = new int[newToOld.length];
    for (int i = 0; i < newToOld.length; i++) {
      oldToNew[newToOld[i]] = i;
    }
    return new Sorter.DocMap() {
      @Override
      public int oldToNew(int document) {
        return oldToNew[document];
      }

      @Override
      public int newToOld(int document) {
        return newToOld[document];
      }

      @Override
      public int size() {
        return newToOld.length;
      }
    };
  }
}
