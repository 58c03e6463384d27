package config

// Properties are the properties of librdkafka that reach brokers which ask for
// a protocol, credentials or certificates. Settings that are empty are left to
// librdkafka's defaults.
func (s KafkaSecurity) Properties() map[string]string {
	props := map[string]string{
		"security.protocol":        s.Protocol,
		"sasl.mechanism":           s.Mechanism,
		"sasl.username":            s.Username,
		"sasl.password":            s.Password,
		"ssl.ca.location":          s.CAFile,
		"ssl.certificate.location": s.CertFile,
		"ssl.key.location":         s.KeyFile,
		"ssl.key.password":         s.KeyPassword,
	}
	for k, v := range props {
		if v == "" {
			delete(props, k)
		}
	}
	return props
}
