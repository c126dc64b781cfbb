package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import java.util.Arrays;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.LeafReader;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.search.DocIdSetIterator;
import org.apache.lucene.util.BitSetIterator;
import org.apache.lucene.util.Bits;
import org.apache.lucene.util.BytesRef;
import org.apache.lucene.util.FixedBitSet;
import org.apache.lucene.util.StringHelper;

/**
 * Which documents of one open reader a search may find: a bit for each, set for the live ones that are meant.
 *
 * <p>Immutable, for any number of searches and threads of that reader; 1 bit a document.
 */
public final class DocFilter {
  private static final byte PASSAGE = '#'; // stands between a document's id and the number of a passage of it

  private final FixedBitSet[] accepted; // by segment
  private final int size;

  private DocFilter(FixedBitSet[] accepted) {
    this.accepted = accepted;
    int count = 0;
    for (FixedBitSet segment : accepted) {
      count += segment.cardinality();
    }
    size = count;
  }

  /** What a filter picks of a segment, deleted documents included. */
  @FunctionalInterface
  private interface Choice {
    void of(LeafReader segment, FixedBitSet chosen) throws IOException;
  }

  private static DocFilter choosing(DirectoryReader reader, Choice choice) throws IOException {
    FixedBitSet[] accepted = new FixedBitSet[reader.leaves().size()];
    for (LeafReaderContext leaf : reader.leaves()) {
      FixedBitSet chosen = new FixedBitSet(leaf.reader().maxDoc());
      choice.of(leaf.reader(), chosen);
      Bits live = leaf.reader().getLiveDocs();
      if (live != null) {
        live.applyMask(chosen, 0);
      }
      accepted[leaf.ord] = chosen;
    }
    return new DocFilter(accepted);
  }

  /** The documents with these doc_ids; ids that the index does not have change nothing. */
  public static DocFilter ofIds(DirectoryReader reader, byte[] packedIds) throws IOException {
    BytesRef[] ids = Packed.strings(packedIds);
    Arrays.sort(ids); // so that each segment's dictionary is walked forwards
    return choosing(
        reader,
        (segment, chosen) -> {
          TermsEnum each = terms(segment, Constants.ID);
          PostingsEnum postings = null;
          for (int i = 0; each != null && i < ids.length; i++) {
            if (each.seekExact(ids[i])) {
              postings = choose(each, postings, chosen);
            }
          }
        });
  }

  /** The same of documents that stand in the index as passages, {@code doc_id#number}: all passages of each. */
  public static DocFilter ofPassages(DirectoryReader reader, byte[] packedIds) throws IOException {
    BytesRef[] ids = Packed.strings(packedIds);
    Arrays.sort(ids);
    return choosing(
        reader,
        (segment, chosen) -> {
          TermsEnum each = terms(segment, Constants.ID);
          for (int i = 0; each != null && i < ids.length; i++) {
            choosePassages(each, ids[i], chosen);
          }
        });
  }

  private static void choosePassages(TermsEnum each, BytesRef id, FixedBitSet chosen) throws IOException {
    byte[] start = Arrays.copyOfRange(id.bytes, id.offset, id.offset + id.length + 1);
    start[id.length] = PASSAGE;
    BytesRef prefix = new BytesRef(start);
    if (each.seekCeil(prefix) == TermsEnum.SeekStatus.END) {
      return;
    }
    PostingsEnum postings = null;
    for (BytesRef passage = each.term();
        passage != null && StringHelper.startsWith(passage, prefix);
        passage = each.next()) {
      boolean ofAnother = false; // a#b#0 is no passage of a, but of a#b
      for (int i = prefix.length; i < passage.length; i++) {
        ofAnother |= passage.bytes[passage.offset + i] == PASSAGE;
      }
      if (!ofAnother) {
        postings = choose(each, postings, chosen);
      }
    }
  }

  /** The documents of which a field that was stored to be filtered on has exactly this value. */
  public static DocFilter ofField(DirectoryReader reader, byte[] field, byte[] value) throws IOException {
    String name = new BytesRef(field).utf8ToString();
    BytesRef wanted = new BytesRef(value);
    return choosing(
        reader,
        (segment, chosen) -> {
          TermsEnum each = terms(segment, name);
          if (each != null && each.seekExact(wanted)) {
            choose(each, null, chosen);
          }
        });
  }

  private static TermsEnum terms(LeafReader segment, String field) throws IOException {
    Terms terms = segment.terms(field);
    return terms == null ? null : terms.iterator();
  }

  private static PostingsEnum choose(TermsEnum term, PostingsEnum kept, FixedBitSet chosen) throws IOException {
    PostingsEnum postings = term.postings(kept, PostingsEnum.NONE);
    for (int doc = postings.nextDoc(); doc != DocIdSetIterator.NO_MORE_DOCS; doc = postings.nextDoc()) {
      chosen.set(doc);
    }
    return postings;
  }

  /** The documents of a segment that are accepted, by their number in it; deleted ones are not. */
  Bits accepted(LeafReaderContext leaf) {
    return accepted[leaf.ord];
  }

  /** The same, in order. */
  DocIdSetIterator iterator(LeafReaderContext leaf) {
    return new BitSetIterator(accepted[leaf.ord], 0);
  }

  /** How many documents a search can find at most. */
  public int size() {
    return size;
  }
}
