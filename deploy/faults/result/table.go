package result

import (
	"fmt"
	"slices"
	"strings"

	"ringback/deploy/faults/check"
)

// Tables writes rows as Markdown: one table of what was promised and kept, to
// which every row adds, and a table of figures for each fault that has some, of
// the last rows. Faults come in the order given.
func Tables(rows []Row, order []string) string {
	var b strings.Builder
	b.WriteString("| Fault | Times | Acknowledged |")
	for _, k := range check.Kinds {
		fmt.Fprintf(&b, " %s |", upper(string(k)))
	}
	b.WriteString(" Refused |\n|---|---|---|" + strings.Repeat("---|", len(check.Kinds)+1) + "\n")
	summed := sum(rows)
	inOrder(summed, order)
	for _, r := range summed {
		fmt.Fprintf(&b, "| %s | %s | %s |", name(r), thousands(r.Times), thousands(r.Acknowledged))
		for _, k := range check.Kinds {
			fmt.Fprintf(&b, " %d |", r.Counts[k])
		}
		fmt.Fprintf(&b, " %s |\n", refused(r))
	}
	for _, fault := range order {
		b.WriteString(figures(rows, fault))
	}
	return b.String()
}

// sum adds up the rows of the same form.
func sum(rows []Row) (out []Row) {
	for _, r := range rows {
		i := slices.IndexFunc(out, func(o Row) bool { return o.Fault == r.Fault && o.Form == r.Form })
		if i < 0 {
			i = len(out)
			out = append(out, Row{Fault: r.Fault, Form: r.Form, Counts: map[check.Kind]int{}, Refused: map[string]int{}})
		}
		out[i].Times += r.Times
		out[i].Acknowledged += r.Acknowledged
		for k, n := range r.Counts {
			out[i].Counts[k] += n
		}
		for why, n := range r.Refused {
			out[i].Refused[why] += n
		}
	}
	return out
}

func inOrder(rows []Row, order []string) {
	slices.SortStableFunc(rows, func(a, b Row) int { return slices.Index(order, a.Fault) - slices.Index(order, b.Fault) })
}

// figures is the table of what a fault measured.
func figures(rows []Row, fault string) string {
	var last []Row // of each form
	for _, r := range rows {
		if r.Fault != fault || len(r.Figures) == 0 {
			continue
		}
		if i := slices.IndexFunc(last, func(o Row) bool { return o.Form == r.Form }); i >= 0 {
			last[i] = r
		} else {
			last = append(last, r)
		}
	}
	if len(last) == 0 {
		return ""
	}
	var names []string
	for _, r := range last {
		for _, f := range r.Figures {
			if !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %s | %s |\n|---|%s\n", fault, strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	for _, r := range last {
		fmt.Fprintf(&b, "| %s |", r.Form)
		for _, n := range names {
			value := ""
			if i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.Name == n }); i >= 0 {
				value = r.Figures[i].Value
			}
			fmt.Fprintf(&b, " %s |", value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func name(r Row) string {
	if r.Form == "" {
		return "`" + r.Fault + "`"
	}
	return "`" + r.Fault + "`: " + r.Form
}

// refused lists what the service refused, the most frequent first.
func refused(r Row) string {
	var whys []string
	for why := range r.Refused {
		whys = append(whys, why)
	}
	slices.SortFunc(whys, func(a, b string) int {
		if d := r.Refused[b] - r.Refused[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for i, why := range whys {
		whys[i] = fmt.Sprintf("%d %s", r.Refused[why], why)
	}
	return strings.Join(whys, ", ")
}

// thousands writes a number with marks between thousands.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// Into puts tables between the marks of a document.
func Into(doc, tables string) (string, error) {
	const begins, ends = "<!-- tables -->\n", "<!-- end of tables -->"
	before, rest, ok := strings.Cut(doc, begins)
	_, after, closed := strings.Cut(rest, ends)
	if !ok || !closed {
		return "", fmt.Errorf("the document has no line %q with a line %q after it", strings.TrimSpace(begins), ends)
	}
	return before + begins + "\n" + tables + "\n" + ends + after, nil
}
