package metrics

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/http/pprof"
	"strings"
)

// profiles serves the profiles of net/http/pprof below /debug/pprof to those who
// carry the token as "Authorization: Bearer TOKEN". Profiles show code and
// command line, and one of the CPU takes its share of it.
func profiles(token string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(shown)) // of one length, so that comparing tells nothing of it
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="drakkar"`)
			http.Error(w, "profiles need the header Authorization: Bearer, with the token of debug.auth_token", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
