package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.lucene.index.IndexReader;
import org.apache.lucene.index.LeafReader;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.MultiTerms;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.ReaderSlice;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.search.DocIdSetIterator;
import org.apache.lucene.util.BytesRef;

/**
 * The place of each document's doc_id in byte order, by which two ints decide a tie. Deleted documents have one too.
 *
 * <p>Nothing is sorted: the dictionary of the ids is in this order. That of the largest segment, which holds most of a
 * grown index, need not be walked where the segment's ranks are known: the other ids are looked up in it.
 */
final class IdRanks {
  private IdRanks() {}

  /** The segment with the most documents, the first of equals; null where there is none. */
  static LeafReaderContext largest(IndexReader reader) {
    LeafReaderContext largest = null;
    for (LeafReaderContext leaf : reader.leaves()) {
      if (largest == null || leaf.reader().maxDoc() > largest.reader().maxDoc()) {
        largest = leaf;
      }
    }
    return largest;
  }

  /** The ranks within one segment. */
  static int[] within(LeafReader segment) throws IOException {
    Terms terms = segment.terms(Constants.ID);
    TermsEnum each = terms == null ? TermsEnum.EMPTY : terms.iterator();
    int[] ranks = new int[segment.maxDoc()];
    int rank = 0;
    PostingsEnum documents = null;
    while (each.next() != null) {
      documents = each.postings(documents, PostingsEnum.NONE);
      for (int doc = documents.nextDoc(); doc != DocIdSetIterator.NO_MORE_DOCS; doc = documents.nextDoc()) {
        ranks[doc] = rank++;
      }
    }
    expect(rank, ranks.length);
    return ranks;
  }

  /**
   * The ranks among all documents.
   *
   * @param within the ranks within the largest segment, which may become the answer; null where they are not known
   */
  static int[] among(IndexReader reader, int[] within) throws IOException {
    LeafReaderContext largest = largest(reader);
    if (largest == null) {
      return new int[0];
    }
    int[] ranksWithin = within != null ? within : within(largest.reader());
    return reader.leaves().size() == 1 ? ranksWithin : among(reader, largest, ranksWithin);
  }

  private static int[] among(IndexReader reader, LeafReaderContext largest, int[] within) throws IOException {
    int[] ranks = new int[reader.maxDoc()];
    int[] before = new int[within.length + 1]; // how many others come directly before the one of this rank
    TermsEnum own = largest.reader().terms(Constants.ID).iterator();
    TermsEnum each = others(reader, largest).iterator();
    PostingsEnum found = null;
    PostingsEnum documents = null;
    int seen = 0;
    for (BytesRef id = each.next(); id != null; id = each.next()) {
      int place = within.length;
      if (own.seekCeil(id) != TermsEnum.SeekStatus.END) {
        found = own.postings(found, PostingsEnum.NONE);
        place = within[found.nextDoc()];
      }
      documents = each.postings(documents, PostingsEnum.NONE);
      for (int doc = documents.nextDoc(); doc != DocIdSetIterator.NO_MORE_DOCS; doc = documents.nextDoc()) {
        ranks[doc] = place + seen++;
        before[place]++;
      }
    }
    expect(seen, ranks.length - within.length);
    for (int rank = 1; rank < within.length; rank++) {
      before[rank] += before[rank - 1];
    }
    for (int doc = 0; doc < within.length; doc++) {
      ranks[largest.docBase + doc] = within[doc] + before[within[doc]];
    }
    return ranks;
  }

  /** The ids of all segments but one. */
  private static Terms others(IndexReader reader, LeafReaderContext largest) throws IOException {
    List<Terms> terms = new ArrayList<>();
    List<ReaderSlice> slices = new ArrayList<>();
    for (LeafReaderContext leaf : reader.leaves()) {
      Terms ids = leaf.reader().terms(Constants.ID);
      if (leaf != largest && ids != null) {
        slices.add(new ReaderSlice(leaf.docBase, leaf.reader().maxDoc(), terms.size()));
        terms.add(ids);
      }
    }
    return new MultiTerms(terms.toArray(Terms[]::new), slices.toArray(ReaderSlice[]::new));
  }

  private static void expect(int found, int documents) {
    if (found != documents) {
      throw new IllegalArgumentException("of " + documents + " documents " + found + " have a doc_id in field id");
    }
  }
}
